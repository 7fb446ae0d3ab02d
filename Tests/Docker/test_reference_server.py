"""`opensandbox-server` 1.1.1 as PyPI has it, with `sallyport/execd` and `sallyport/egress` as its images: what the official clients
do works as it does with the reference's own (docs/images.md)."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from code_interpreter import CodeInterpreterSync
from engine import ONE, TWO
from opensandbox import Sandbox, SandboxSync
from opensandbox.models.execd import RunCommandOpts
from opensandbox.models.sandboxes import NetworkRule
from reference import within
from support.inside import ECHO_SERVER, exit_code, fetches, resolves, say, start_server
from support.server import SLEEP, deny_but
from support.waiting import eventually
# The same tests, with this module's sandboxes.
from test_code import (  # noqa: F401
    context, out, test_a_value_and_what_was_printed_arrive, test_an_error_is_an_error_and_nothing_else,
    test_an_interrupt_ends_a_run_and_not_its_context, test_variables_stay_in_their_context)
from test_files import (  # noqa: F401
    test_several_megabytes_go_up_and_down_whole, test_what_is_written_is_read_again)


@pytest.fixture(autouse=True, scope="module")
def there(reference):
    with within(reference.engine.namespace):
        yield


@pytest.fixture
def api(reference):
    with reference.api as client:
        yield client


@pytest.fixture
def create(reference):
    """Creates sandboxes that end with the test."""
    made = []

    def create(**options):
        made.append(reference.create(**options))
        return made[-1]

    yield create
    with reference.api as client:
        for sandbox in made:
            client.delete(f"/v1/sandboxes/{sandbox.id}")
    for sandbox in made:
        sandbox.close()


@pytest.fixture(scope="module")
def plain(reference):
    """A sandbox that tests share."""
    with within(reference.engine.namespace):
        sandbox = reference.create()
        yield sandbox
        sandbox.kill()
        sandbox.close()


@pytest.fixture(params=[False, True], ids=["direct", "proxied"])
def box(request, reference, plain):
    if not request.param:
        return plain
    return SandboxSync.connect(plain.id, connection_config=reference.connection(use_server_proxy=True))


@pytest.fixture(scope="module")
def interpreter(reference, plain):
    with within(reference.engine.namespace):
        yield CodeInterpreterSync.create(plain)


def test_execd_is_the_first_process_and_starts_the_entrypoint(plain):
    assert say(plain, "cat /proc/1/comm").strip() in ("execd", "bootstrap.sh")
    assert plain.get_info().status.state == "Running"
    assert say(plain, "stat -c '%a %u' /opt/opensandbox/execd /opt/opensandbox/bootstrap.sh").split() == ["755", "0"] * 2
    assert len(say(plain, "cat /opt/opensandbox/bootstrap.sh")) < 100, "a line that names execd, not a second copy of it"


def test_commands_say_what_they_print_and_how_they_end(box):
    done = box.commands.run("echo out; echo bad >&2; exit 3")
    assert done.exit_code == 3
    assert [message.text for message in done.logs.stdout] == ["out"] and [message.text for message in done.logs.stderr] == ["bad"]
    assert say(box, "echo $OPENSANDBOX_ID") == box.id
    session = box.commands.create_session()
    box.commands.run_in_session(session, "cd /tmp; kept=yes")
    assert box.commands.run_in_session(session, "echo $PWD $kept").text.strip() == "/tmp yes"
    box.commands.delete_session(session)
    background = box.commands.run("sleep 0.1; echo later; exit 4", opts=RunCommandOpts(background=True))
    eventually(lambda: not box.commands.get_command_status(background.id).running, what="the end")
    assert box.commands.get_command_status(background.id).exit_code == 4
    assert "later" in box.commands.get_background_command_logs(background.id).content


def test_variables_that_a_client_sets_are_kept(create):
    sandbox = create(env={"ASKED": "for"})
    assert say(sandbox, "echo $ASKED") == "for"
    say(sandbox, "echo LATER=too >> $EXECD_ENVS")
    assert say(sandbox, "echo $LATER") == "too"


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxied"])
def test_a_policy_holds_and_is_changed_while_the_sandbox_runs(create, api, proxied):
    sandbox = create(network_policy=deny_but("one.example"), use_server_proxy=proxied)
    assert fetches(sandbox, "http://one.example/")
    assert not resolves(sandbox, "two.example") and not fetches(sandbox, f"http://{TWO}/")
    assert [rule.target for rule in sandbox.get_egress_policy().egress] == ["one.example"]

    sandbox.patch_egress_rules([NetworkRule(action="allow", target="two.example")])
    assert fetches(sandbox, "http://two.example/")
    assert {rule.target for rule in sandbox.get_egress_policy().egress} == {"one.example", "two.example"}
    # The server's own road: it adds the token, which the caller does not know.
    path = f"/v1/sandboxes/{sandbox.id}/networkpolicy"
    assert api.request("DELETE", path, json=["two.example"]).status_code == 200
    assert not fetches(sandbox, f"http://{TWO}/"), "what the name had opened is shut with it"
    assert [rule["target"] for rule in api.get(path).json()["policy"]["egress"]] == ["one.example"]


def test_a_sandbox_needs_the_token_for_its_own_policy(create):
    sandbox = create(network_policy=deny_but("one.example"))
    own = say(sandbox, "hostname -I").split()
    for address in ["127.0.0.1:18080", "127.0.0.1:44772/proxy/18080", *(f"{a}:18080" for a in own)]:
        for token in ("", "-H 'OPENSANDBOX-EGRESS-AUTH: guess'"):
            answer = say(sandbox, f"curl -s -o /dev/null -w '%{{http_code}}' {token} -X PATCH -d '[]' http://{address}/policy || true")
            assert answer in ("000", "401", "403"), (address, token, answer)
    assert exit_code(sandbox, "tr '\\0' '\\n' < /proc/1/environ | grep -q EGRESS_TOKEN") == 1


def test_an_unguarded_sandbox_reaches_everything(plain):
    assert fetches(plain, "http://two.example/") and fetches(plain, f"http://{ONE}/")


def test_endpoints_lead_to_what_listens(plain, reference):
    start_server(plain, ECHO_SERVER)
    for proxied in (False, True):
        sandbox = SandboxSync.connect(plain.id, connection_config=reference.connection(use_server_proxy=proxied))
        endpoint = sandbox.get_endpoint(8000)
        answer = httpx.get(f"http://{endpoint.endpoint}/path?a=b", headers=endpoint.headers)
        assert answer.status_code == 200 and answer.json()["target"] == "/path?a=b", answer.text


def test_what_a_paused_sandbox_was_doing_goes_on(create, reference):
    sandbox = create()
    say(sandbox, "echo here > /tmp/file; sleep 1000 >/dev/null 2>&1 & echo $!")
    sandbox.pause()
    with reference.manager() as manager:
        assert manager.get_sandbox_info(sandbox.id).status.state == "Paused"
    again = SandboxSync.resume(sandbox.id, connection_config=reference.connection())
    assert say(again, "cat /tmp/file; pgrep -c -x sleep").split() == ["here", "1"]
    again.close()


def test_a_guarded_sandbox_is_guarded_after_a_pause(create, reference):
    sandbox = create(network_policy=deny_but("one.example"))
    sandbox.pause()
    again = SandboxSync.resume(sandbox.id, connection_config=reference.connection())
    assert fetches(again, "http://one.example/") and not fetches(again, f"http://{TWO}/")
    again.close()


def test_a_snapshot_has_the_files_and_is_begun_again(create, api):
    sandbox = create()
    say(sandbox, "echo kept > /root/file")
    taken = api.post(f"/v1/sandboxes/{sandbox.id}/snapshots", json={"name": "one"})
    assert taken.status_code == 202, taken.text
    name = taken.json()["id"]
    eventually(lambda: api.get(f"/v1/snapshots/{name}").json()["status"]["state"] == "Ready", what="the snapshot")
    again = create(snapshot_id=name, entrypoint=SLEEP)
    assert say(again, "cat /root/file") == "kept"
    assert api.delete(f"/v1/snapshots/{name}").status_code in (204, 409)


def test_metadata_lists_and_expiry(create, api):
    sandbox = create(metadata={"team": "red"}, timeout=timedelta(minutes=5))
    assert api.patch(f"/v1/sandboxes/{sandbox.id}/metadata", json={"team": "blue"}).status_code == 200
    found = api.get("/v1/sandboxes", params={"metadata": "team=blue"}).json()["items"]
    assert [item["id"] for item in found] == [sandbox.id]
    before = sandbox.get_info().expires_at
    assert sandbox.renew(timedelta(minutes=30)).expires_at > before


@pytest.fixture(scope="module")
def images(reference):
    """Images that lack what a script would need."""
    with within(reference.engine.namespace):
        reference.engine.build("no-shell", "FROM sallyport/execd AS from\nFROM scratch\nCOPY --from=from /usr/bin/busybox /bin/true\n"
                                           "COPY --from=from /usr/bin/busybox /bin/sleep\n")
        reference.engine.build("not-root", "FROM base\nUSER 1000:1000\nWORKDIR /home/sandbox\n")
    return reference


def test_an_image_without_a_shell_is_a_sandbox(images, create):
    sandbox = create(image="no-shell", entrypoint=["/bin/sleep", "1000"])
    sandbox.files.write_file("/tmp/a", "text")
    assert sandbox.files.read_file("/tmp/a") == "text"


def test_an_image_of_another_user_is_a_sandbox_of_that_user(images, create):
    sandbox = create(image="not-root", entrypoint=["sleep", "1000"])
    assert say(sandbox, "id -u; pwd").split() == ["1000", "/home/sandbox"]


@pytest.mark.parametrize("code, state", [(0, "Terminated"), (3, "Failed")])
def test_a_sandbox_ends_as_its_entrypoint_does(api, code, state):
    body = {"image": {"uri": "base"}, "timeout": 600, "resourceLimits": {}, "entrypoint": ["sh", "-c", f"sleep 0.2; exit {code}"]}
    made = api.post("/v1/sandboxes", json=body).json()["id"]
    status = eventually(lambda: (s := api.get(f"/v1/sandboxes/{made}").json()["status"])["state"] != "Running" and s)
    assert status["state"] == state and (not code or f"code {code}" in status["message"])
    assert api.delete(f"/v1/sandboxes/{made}").status_code == 204


def test_the_asynchronous_client_works_alike(reference):
    async def use():
        sandbox = await Sandbox.create(
            "base", connection_config=reference.asynchronous(), resource={"cpu": "1", "memory": "256Mi"},
            network_policy=deny_but("one.example"))
        try:
            done = await sandbox.commands.run("echo asynchronous")
            policy = await sandbox.get_egress_policy()
            return done.text, [rule.target for rule in policy.egress]
        finally:
            await sandbox.kill()
            await sandbox.close()

    text, targets = asyncio.run(use())
    assert text.strip() == "asynchronous" and targets == ["one.example"]


def test_the_code_image_runs_code_beside_a_policy(reference):
    """As a user of the reference's image starts it; its program stands where the server mounts a volume."""
    reference.engine.make("code-interpreter")
    sandbox = reference.create(
        image="sallyport/code-interpreter", entrypoint=["/opt/opensandbox/code-interpreter.sh"],
        network_policy=deny_but("one.example"), resource={"cpu": "2", "memory": "1Gi"})
    try:
        codes = CodeInterpreterSync.create(sandbox).codes
        made = codes.create_context("typescript")
        assert "42" in codes.run("const n: number = 41; n + 1", context=made).result[0].text
    finally:
        sandbox.kill()
        sandbox.close()
