"""Sandboxes of a Docker engine with a guard beside each, and an engine whose firewall is between sandboxes and the outside."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest
from engine import RESOLVER, TWO
from inside import within
from opensandbox import SandboxSync
from opensandbox.models.sandboxes import NetworkRule
from support.inside import ECHO_SERVER, start_server
from support.server import BASE_IMAGE, BINARY, IMAGE, AllInOneServer, deny_but
from support.waiting import eventually
from support.world import World

class Names:
    address, port = RESOLVER, 53


class Outside:
    """The engine's own outside, in the place of a world."""
    names = Names()


# Of the machine's ports.
FIRST, SIZE = 24_000, 4


needs_runsc = pytest.mark.skipif(shutil.which("runsc") is None, reason="Debian's package runsc is not installed")


def beside(engine, more="", tables=""):
    """A server of an engine with a guard beside each sandbox; `more` are lines of [docker], `tables` other sections."""
    return AllInOneServer(
        Outside(), egress={"placement": '"sidecar"', "image": '"sallyport/egress"'},
        tables=f'[runtime]\ntype = "docker"\n[docker]\nhost = "unix://{engine.socket}"\n{more}'
               f"[local.ports]\nfirst = {FIRST}\nlast = {FIRST + SIZE - 1}\n{tables}")


@pytest.fixture(scope="module")
def server(engine):
    engine.load(IMAGE, BASE_IMAGE)
    with within(engine.namespace):
        server = beside(engine)
        server.egress["rules_dir"] = f'"{server.folder}/rules"'
        (server.folder / "rules").mkdir()
        server.write_configuration()
        try:
            yield server.start()
        finally:
            server.tear_down()


def run(sandbox, command):
    return "".join(part.text for part in sandbox.commands.run(command).logs.stdout).strip()


def reaches(sandbox, url):
    return "outside" in run(sandbox, f"curl --silent --max-time 3 {url} || true")


def facts(engine, name):
    return json.loads(engine.run("inspect", name).stdout)[0]


def test_a_guard_beside_the_sandbox_has_the_policy_in_force_from_the_start(engine, create):
    sandbox = create(network_policy=deny_but("one.example"))
    assert reaches(sandbox, "http://one.example/")
    assert not reaches(sandbox, "http://two.example/")
    assert not reaches(sandbox, f"http://{TWO}/")
    sandbox.patch_egress_rules([NetworkRule(action="allow", target="two.example")])
    assert reaches(sandbox, "http://two.example/")


def test_the_sandbox_has_no_capability_over_the_network_that_its_guard_has_one_over(engine, create):
    sandbox = create(network_policy=deny_but("one.example"))
    guard, own = facts(engine, f"sandbox-egress-{sandbox.id}"), facts(engine, f"sandbox-{sandbox.id}")
    assert guard["HostConfig"]["CapAdd"] in (["NET_ADMIN"], ["CAP_NET_ADMIN"])
    assert guard["HostConfig"]["CapDrop"] == ["ALL"]
    assert guard["HostConfig"]["NetworkMode"] == f"container:{own['Id']}"
    assert guard["Config"]["Labels"]["opensandbox.io/egress-sidecar-for"] == sandbox.id
    assert {"NET_ADMIN", "NET_RAW"} <= set(own["HostConfig"]["CapDrop"])
    token = sandbox.get_endpoint(18080).headers["OPENSANDBOX-EGRESS-AUTH"]
    assert len(token) >= 32 and token not in json.dumps([guard, own]), "the engine shows the token to nobody"


def test_a_guard_that_is_killed_opens_nothing_and_comes_back_with_its_policy(engine, create):
    sandbox = create(network_policy=deny_but("one.example"))
    sandbox.patch_egress_rules([NetworkRule(action="allow", target="two.example")])
    name = f"sandbox-egress-{sandbox.id}"
    os.kill(facts(engine, name)["State"]["Pid"], 9)
    assert not reaches(sandbox, "http://198.51.100.3/")
    eventually(lambda: reaches(sandbox, "http://two.example/"), what="the guard with the policy that was changed")
    assert facts(engine, name)["RestartCount"] == 1


def test_a_guard_that_is_taken_away_gets_a_successor_with_its_policy(engine, create):
    sandbox = create(network_policy=deny_but("one.example"))
    sandbox.patch_egress_rules([NetworkRule(action="allow", target="two.example")])
    engine.run("rm", "--force", f"sandbox-egress-{sandbox.id}")
    assert not reaches(sandbox, "http://198.51.100.3/")
    eventually(lambda: reaches(sandbox, "http://two.example/"), what="another guard")
    assert reaches(sandbox, "http://one.example/")


def test_a_guard_that_somebody_stops_or_pauses_serves_again(engine, create):
    """The engine starts those again alone that end by themselves."""
    sandbox = create(network_policy=deny_but("one.example"))
    name = f"sandbox-egress-{sandbox.id}"
    started = facts(engine, name)["State"]["StartedAt"]
    engine.run("kill", name)
    eventually(lambda: facts(engine, name)["State"]["StartedAt"] != started, what="a guard that was killed")
    eventually(lambda: reaches(sandbox, "http://one.example/"), what="its answers")
    engine.run("pause", name)
    eventually(lambda: not facts(engine, name)["State"]["Paused"], what="a guard that was paused")
    assert reaches(sandbox, "http://one.example/") and not reaches(sandbox, f"http://{TWO}/")


def test_a_guard_that_is_taken_away_while_no_server_runs_gets_a_successor_from_the_next(engine, create, server):
    sandbox = create(network_policy=deny_but("one.example"))
    name = f"sandbox-egress-{sandbox.id}"
    server.kill()
    engine.run("rm", "--force", name)
    server.start()
    eventually(lambda: engine.run("inspect", name, check=False).returncode == 0, what="another guard")
    eventually(lambda: reaches(sandbox, "http://one.example/"), what="its answers")
    assert not reaches(sandbox, f"http://{TWO}/")


def test_a_sandbox_whose_containers_have_other_names_goes_with_its_guard(engine, create, server):
    sandbox = create(network_policy=deny_but("one.example"))
    engine.run("rename", f"sandbox-{sandbox.id}", "renamed")
    engine.run("rename", f"sandbox-egress-{sandbox.id}", "renamed-guard")
    started = facts(engine, "renamed-guard")["State"]["StartedAt"]
    engine.run("kill", "renamed-guard")
    eventually(lambda: facts(engine, "renamed-guard")["State"]["StartedAt"] != started, what="a guard with another name")
    assert server.api.delete(f"/v1/sandboxes/{sandbox.id}").status_code == 204
    assert not {"renamed", "renamed-guard"} & set(engine.run("ps", "--all", "--format", "{{.Names}}").stdout.split())


def claim(name, path):
    return {"name": name, "mountPath": path, "pvc": {"claimName": name, "deleteOnSandboxTermination": True}}


def test_volumes_in_volumes_are_as_always_and_the_network_comes_when_execd_was_seen(engine, server):
    policy = {"defaultAction": "deny", "egress": [{"action": "allow", "target": "one.example"}]}
    answer = server.api.post("/v1/sandboxes", json=server.body(
        volumes=[claim("outer", "/data"), claim("inner", "/data/x")], networkPolicy=policy, extensions={"ports.publish": "8000"}))
    assert answer.status_code == 202, answer.text
    sandbox = SandboxSync.connect(answer.json()["id"], connection_config=server.connection())
    assert run(sandbox, "touch /data/x/file && ls /data /data/x").split() == ["/data:", "x", "/data/x:", "file"]
    found = facts(engine, f"sandbox-{sandbox.id}")
    assert found["HostConfig"]["NetworkMode"] == "none" and list(found["NetworkSettings"]["Networks"]) == ["bridge"]
    assert reaches(sandbox, "http://one.example/") and not reaches(sandbox, f"http://{TWO}/")
    start_server(sandbox, ECHO_SERVER)
    assert '"method": "GET"' in fetched(sandbox.get_endpoint(8000).endpoint.rpartition(":")[2])
    sandbox.close()
    server.api.delete(f"/v1/sandboxes/{answer.json()['id']}")
    assert not {"outer", "inner"} & set(engine.run("volume", "ls", "--quiet").stdout.split())


def test_a_link_in_a_volume_leads_no_other_volume_over_execd_beside_a_guard(engine, server):
    engine.run("volume", "create", "linked")
    try:
        (pathlib.Path(engine.run("volume", "inspect", "--format", "{{.Mountpoint}}", "linked").stdout.strip()) / "x").symlink_to("/opt")
        answer = server.api.post("/v1/sandboxes", json=server.body(volumes=[claim("linked", "/data"), claim("inner", "/data/x")]))
        assert (answer.status_code, answer.json()["code"]) == (400, "VOLUME::INVALID_MOUNT_PATH"), answer.text
    finally:
        engine.run("volume", "rm", "linked")


def test_a_sandbox_with_a_policy_does_not_reach_its_neighbours(engine, create):
    first, second = create(network_policy=deny_but("one.example")), create()
    address = facts(engine, f"sandbox-{second.id}")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    reached = "curl --silent --output /dev/null --max-time 2 http://{}:44772/ping && echo reached || true"
    assert run(second, reached.format(address)) == "reached", "there is something to reach"
    assert run(first, reached.format(address)) == ""


def test_policies_outlive_the_server(engine, create, server):
    sandbox = create(network_policy=deny_but("one.example"))
    server.kill()
    server.start()
    assert reaches(sandbox, "http://one.example/")
    sandbox.patch_egress_rules([NetworkRule(action="allow", target="two.example")])
    assert reaches(sandbox, "http://two.example/")


def fetched(at):
    """What a program of the machine is told at a port of it."""
    return subprocess.run(
        ["curl", "--silent", "--noproxy", "*", "--max-time", "5", f"http://127.0.0.1:{at}/"], capture_output=True, text=True).stdout


def test_the_operators_lists_go_before_every_policy_and_are_followed_by_guards_that_run(engine, create, server):
    sandbox, name = create(network_policy=deny_but("one.example", "two.example")), "http://two.example/"
    assert reaches(sandbox, name)
    new, denied = (server.folder / "rules" / word for word in ("new", "deny.always"))
    new.write_text("two.example\n")
    new.rename(denied)
    try:
        eventually(lambda: not reaches(sandbox, name), what="the operator's word")
        sandbox.patch_egress_rules([NetworkRule(action="allow", target="two.example")])
        assert not reaches(sandbox, name) and not reaches(create(), name), "nor does one without a policy"
        assert reaches(sandbox, "http://one.example/")
    finally:
        denied.unlink()


def test_the_engine_binds_published_ports_which_stay_through_a_restart(engine, create, server):
    sandbox = create(extensions={"ports.publish": "8000"}, network_policy=deny_but("one.example"))
    start_server(sandbox, ECHO_SERVER)
    endpoint = sandbox.get_endpoint(8000).endpoint
    host, _, at = endpoint.rpartition(":")
    assert host == "127.0.0.1" and FIRST <= int(at) < FIRST + SIZE
    bound = facts(engine, f"sandbox-{sandbox.id}")["HostConfig"]["PortBindings"]
    assert bound == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": at}]}
    assert '"method": "GET"' in fetched(at)
    assert not reaches(sandbox, f"http://{TWO}/"), "a published port opens nothing outwards"
    server.kill()
    assert '"method": "GET"' in fetched(at)
    server.start()
    assert sandbox.get_endpoint(8000).endpoint == endpoint and '"method": "GET"' in fetched(at)
    most = server.body(extensions={"ports.publish": ",".join(str(8000 + number) for number in range(SIZE))})
    answer = server.api.post("/v1/sandboxes", json=most)
    assert (answer.status_code, answer.json()["code"]) == (429, "SANDBOX::CAPACITY_EXHAUSTED"), answer.text
    server.api.delete(f"/v1/sandboxes/{sandbox.id}")
    made = server.api.post("/v1/sandboxes", json=most)
    assert made.status_code == 202, made.text
    server.api.delete(f"/v1/sandboxes/{made.json()['id']}")


def test_a_list_that_the_engine_cannot_enforce_is_refused(server):
    answer = server.api.post(
        "/v1/sandboxes", json=server.body(extensions={"ports.publish": "8000", "ports.allow": "192.0.2.0/24"}))
    assert answer.status_code in (400, 501) and "ports.allow" in answer.json()["message"], answer.text


def test_sandboxes_are_on_a_network_that_an_operator_has_made_and_on_none_that_is_missing(engine, server):
    own = beside(engine, 'network_mode = "sandboxes"\n')
    try:
        answer = own.start().api.post("/v1/sandboxes", json=own.body())
        assert (answer.status_code, answer.json()["code"]) == (400, "SANDBOX::INVALID_PARAMETER"), answer.text
        assert "docker network create sandboxes" in answer.json()["message"]
        engine.run("network", "create", "sandboxes")
        sandbox = own.create(network_policy=deny_but("one.example"))
        assert list(facts(engine, f"sandbox-{sandbox.id}")["NetworkSettings"]["Networks"]) == ["sandboxes"]
        assert reaches(sandbox, "http://one.example/") and not reaches(sandbox, f"http://{TWO}/")
        sandbox.close()
    finally:
        own.tear_down()
        engine.run("network", "rm", "sandboxes", check=False)


@needs_runsc
def test_a_sandbox_under_gvisor_is_guarded_from_beside_it(engine, server):
    """Its kernel is another one, and its network that of the container, in which the guard's rules are."""
    own = beside(engine, tables='[secure_runtime]\ntype = "gvisor"\n')
    try:
        sandbox = own.start().create(network_policy=deny_but("one.example"))
        assert "gVisor" in run(sandbox, "dmesg")
        guard = facts(engine, f"sandbox-egress-{sandbox.id}")
        assert guard["HostConfig"]["Runtime"] == "runc", "the guard needs this machine's nf_tables"
        assert reaches(sandbox, "http://one.example/")
        assert not reaches(sandbox, "http://two.example/") and not reaches(sandbox, f"http://{TWO}/")
        os.kill(guard["State"]["Pid"], 9)
        assert not reaches(sandbox, f"http://{TWO}/")
        sandbox.close()
    finally:
        own.tear_down()


def test_nothing_is_left(engine, create, server):
    before = engine.inventory()
    sandbox = create(network_policy=deny_but("one.example"))
    server.api.delete(f"/v1/sandboxes/{sandbox.id}")
    assert not engine.left(before)


def test_sandboxes_with_the_machines_guard_pass_the_engines_firewall_until_it_is_uninstalled(engine):
    """Docker's own rules drop what the machine forwards."""

    def chain():
        return subprocess.run(["iptables", "-S", "DOCKER-USER"], capture_output=True, text=True, check=True).stdout

    engine.load(IMAGE, BASE_IMAGE)
    with within(engine.namespace):
        # As Docker has it where it was what made the machine forward at all.
        subprocess.run(["iptables", "-P", "FORWARD", "DROP"], check=True)
        world = World()
        server = AllInOneServer(
            world, tables=f'[runtime]\ntype = "docker"\n[docker]\nhost = "unix://{engine.socket}"\n')
        try:
            sandbox = server.start().create(network_policy=deny_but("one.example"))
            assert reaches(sandbox, "http://one.example/")
            assert not reaches(sandbox, f"http://{world.two}/")
            sandbox.close()
            server.stop()
            assert server.tag in chain()
            done = subprocess.run([BINARY, "uninstall", "--config", server.config, "--yes"], capture_output=True, text=True, timeout=60,
                                  env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
            assert done.returncode == 0 and f"removed the sandbox {sandbox.id}" in done.stdout, done
            assert server.tag not in chain() and not server.leftovers.tables()
        finally:
            server.tear_down()
            world.close()
            subprocess.run(["iptables", "-P", "FORWARD", "ACCEPT"], check=True)
