"""Many clients at once on one sandbox, and kills between acknowledged changes."""

import random
import threading
from datetime import datetime, timedelta, timezone

import httpx
import pytest
from opensandbox import SandboxSync
from support.server import deny_but
from support.inside import fetches, say
from support.waiting import eventually

CALLS = {
    "pause": ("POST", "/pause", None), "resume": ("POST", "/resume", None),
    "renew": ("POST", "/renew-expiration", {"expiresAt": (datetime.now(timezone.utc) + timedelta(days=1)).isoformat()}),
    "metadata": ("PATCH", "/metadata", {"a": "b"}), "info": ("GET", "", None),
    "policy": ("PATCH", "/networkpolicy", [{"action": "allow", "target": "x.example"}]),
    "endpoint": ("GET", "/endpoints/44772", None), "logs": ("GET", "/diagnostics/logs?scope=all", None),
}


def at_once(*bodies):
    errors = []

    def guarded(body):
        try:
            body()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors, errors


@pytest.mark.parametrize("seed", range(3))
def test_calls_that_race_each_other_and_a_deletion_are_answered_by_the_contract(server, seed):
    sandbox = server.create(network_policy=deny_but("one.example"))
    answers, order = [], random.Random(seed)

    def call(names):
        with server.api as client:
            for name in names:
                method, path, body = CALLS[name]
                answer = client.request(method, f"/v1/sandboxes/{sandbox.id}{path}", json=body)
                answers.append((name, answer.status_code, answer.text))

    def delete():
        with server.api as client:
            answers.append(("delete", client.delete(f"/v1/sandboxes/{sandbox.id}").status_code, ""))

    plans = [order.choices(list(CALLS), k=12) for _ in range(8)]
    at_once(*[lambda plan=plan: call(plan) for plan in plans])
    assert {status for _, status, _ in answers} <= {200, 202, 409}, answers
    at_once(*[lambda plan=plan: call(plan) for plan in plans], delete)
    assert {status for _, status, _ in answers} <= {200, 202, 204, 404, 409}, answers
    assert ("delete", 204, "") in answers and sandbox.id not in server.ids()
    sandbox.close()


@pytest.mark.parametrize("seed", range(4))
def test_no_acknowledged_change_of_a_policy_is_lost_by_a_kill(own_server, seed):
    sandbox = own_server.create(network_policy=deny_but("one.example"))
    acknowledged, stop, wait = [], threading.Event(), random.Random(seed).randrange(3, 30)

    def patch():
        with own_server.api as client:
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    answer = client.patch(f"/v1/sandboxes/{sandbox.id}/networkpolicy",
                                          json=[{"action": "allow", "target": f"n{number}.example"}])
                except httpx.TransportError:
                    return
                assert answer.status_code == 200
                acknowledged.append(f"n{number}.example")

    patcher = threading.Thread(target=patch)
    patcher.start()
    try:
        eventually(lambda: len(acknowledged) >= wait, within=30, what=f"{wait} changes")
        own_server.kill()
    finally:
        stop.set()
        patcher.join()
    own_server.start()
    again = SandboxSync.connect(sandbox.id, connection_config=own_server.connection())
    targets = [rule.target for rule in again.get_egress_policy().egress]
    assert set(acknowledged) <= set(targets) and "one.example" in targets
    # At most the one whose answer was lost is more.
    assert len(targets) - len(acknowledged) - 1 in (0, 1)
    assert fetches(again, "http://one.example/")


def test_a_server_that_is_killed_again_and_again_keeps_its_sandboxes(own_server):
    sandboxes = [own_server.create(network_policy=deny_but("one.example")) for _ in range(3)]
    for _ in range(4):
        own_server.kill()
        own_server.start()
    assert set(own_server.ids()) == {sandbox.id for sandbox in sandboxes}
    for sandbox in sandboxes:
        again = SandboxSync.connect(sandbox.id, connection_config=own_server.connection())
        assert fetches(again, "http://one.example/")


def test_an_execd_that_is_killed_is_started_again(create):
    sandbox = create()
    server = int(say(sandbox, "pgrep -f -- '^/proc/self/exe --serv[e]'"))
    try:
        sandbox.commands.run(f"kill -9 {server}")
    except Exception:
        pass  # The stream breaks with the process that serves it.

    def answers():
        try:
            return sandbox.commands.run("echo again").exit_code == 0
        except Exception:
            return False

    eventually(answers, within=15, what="the new execd")
    assert int(say(sandbox, "pgrep -f -- '^/proc/self/exe --serv[e]'")) != server
    assert sandbox.get_info().status.state == "Running"


def test_a_client_that_leaves_in_the_middle_of_a_create_leaves_nothing_half_made(own_server):
    for timeout in (0.001, 0.01, 0.03, 0.06):
        with pytest.raises(httpx.TransportError):
            with own_server.api as client:
                client.post("/v1/sandboxes", json=own_server.body(), timeout=timeout)
                raise httpx.ReadError("it was quick enough")
    left = own_server.leftovers
    with own_server.api as client:
        def settled():
            found = client.get("/v1/sandboxes?pageSize=200").json()["items"]
            return all(item["status"]["state"] == "Running" for item in found) and len(found) == len(left.folders())

        eventually(settled, what="whole sandboxes")


def test_secrets_are_in_no_log(own_server):
    sandbox = own_server.create(secure_access=True, network_policy=deny_but("one.example"))
    secrets = {own_server.key}
    for port in (8000, 18080):
        endpoint = sandbox.get_endpoint(port)
        secrets |= {value for name, value in endpoint.headers.items() if name != "OpenSandbox-Ingress-To"}
        httpx.get(f"http://{endpoint.endpoint}/", headers=endpoint.headers)
    assert len(secrets) == 3
    httpx.get(own_server.base + "/v1/sandboxes", headers={"OPEN-SANDBOX-API-KEY": own_server.key + "x"})
    sandbox.patch_egress_rules(deny_but("two.example").egress)
    own_server.stop()
    text = own_server.log.read_text()
    assert sandbox.id in text and "DEBUG" in text.upper()
    assert not [secret for secret in secrets if secret in text]
