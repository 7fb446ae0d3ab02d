"""Sandboxes of a Docker engine with a guard beside each, and an engine whose firewall is between sandboxes and the outside."""

import contextlib
import ctypes
import json
import os

import pytest
from engine import ONE, RESOLVER, TWO
from opensandbox.models.sandboxes import NetworkRule
from support.server import BASE_IMAGE, IMAGE, AllInOneServer, deny_but
from support.waiting import eventually

LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def within(namespace):
    """This thread, and what it starts, is in the namespace."""
    def enter(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            assert LIBC.setns(descriptor, 0x40000000) == 0, os.strerror(ctypes.get_errno())
        finally:
            os.close(descriptor)

    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    enter(f"/run/netns/{namespace}")
    try:
        yield
    finally:
        assert LIBC.setns(before, 0x40000000) == 0
        os.close(before)


class Names:
    port = 0


class Outside:
    """The engine's own outside, in the place of a world."""
    names = Names()


class SidecarServer(AllInOneServer):
    def write_configuration(self):
        super().write_configuration()
        text = self.config.read_text().replace('["127.0.0.1:0"]', f'["{RESOLVER}"]')
        self.config.write_text(text)


@pytest.fixture(scope="module")
def server(engine):
    engine.load(IMAGE, BASE_IMAGE)
    with within(engine.namespace):
        server = SidecarServer(
            Outside(), egress={"placement": '"sidecar"', "image": '"sallyport/egress"'},
            tables=f'[runtime]\ntype = "docker"\n[docker]\nhost = "unix://{engine.socket}"\n')
        try:
            yield server.start()
        finally:
            server.tear_down()


@pytest.fixture
def create(server):
    made = []

    def create(**options):
        made.append(server.create(**options))
        return made[-1]

    yield create
    with server.api as client:
        for sandbox in made:
            client.delete(f"/v1/sandboxes/{sandbox.id}")
    for sandbox in made:
        sandbox.close()


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


def test_sandboxes_do_not_reach_each_other(engine, create):
    first, second = create(), create()
    address = facts(engine, f"sandbox-{second.id}")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert run(first, f"curl --silent --max-time 3 http://{address}:44772/ping; echo $?").endswith("28")


def test_policies_outlive_the_server(engine, create, server):
    sandbox = create(network_policy=deny_but("one.example"))
    server.kill()
    server.start()
    assert reaches(sandbox, "http://one.example/")
    sandbox.patch_egress_rules([NetworkRule(action="allow", target="two.example")])
    assert reaches(sandbox, f"http://two.example/")
    assert ONE


def test_nothing_is_left(engine, create, server):
    sandbox = create(network_policy=deny_but("one.example"))
    server.api.delete(f"/v1/sandboxes/{sandbox.id}")
    assert sandbox.id not in engine.run("ps", "--all", "--format", "{{.Names}}").stdout
    assert sandbox.id not in engine.run("volume", "ls", "--quiet").stdout
