"""The sidecar as a container beside the sandbox, in a real Docker engine."""

import re

import pytest
from engine import ONE, RESOLVER, TWO
from support.waiting import eventually

ONE_PAGE, TWO_PAGE = f"outside {ONE}\n", f"outside {TWO}\n"


def test_sandbox_reaches_what_the_policy_names(containers):
    containers.start("unguarded", "--dns", RESOLVER)
    assert containers.fetch("http://two.example/", "unguarded") == TWO_PAGE, "without a guard the way is open"

    containers.guard("--dns", RESOLVER, rules=["one.example"])
    containers.sandbox()
    assert containers.fetch("http://one.example/") == ONE_PAGE
    assert containers.fetch("http://two.example/") is None
    assert containers.fetch(f"http://{TWO}/") is None

    status = containers.ask_policy("-X", "PATCH", "-d", '[{"action":"allow","target":"two.example"}]')
    assert [rule["target"] for rule in status["policy"]["egress"]] == ["two.example", "one.example"]
    assert containers.fetch("http://two.example/") == TWO_PAGE
    containers.ask_policy("-X", "DELETE", "-d", '["two.example"]')
    assert containers.fetch(f"http://{TWO}/") is None, "what the name had opened is shut with it"
    assert containers.fetch("http://one.example/") == ONE_PAGE


def test_sandbox_does_not_reach_the_api(containers):
    containers.guard("--dns", RESOLVER)
    containers.sandbox()
    assert containers.ask_policy()["status"] == "ok"
    own = containers.inside("hostname", "-I").stdout.split()
    for address in ["127.0.0.1", *own]:
        done = containers.inside(
            "curl", "--silent", "--max-time", "5", "-H", "OPENSANDBOX-EGRESS-AUTH: the-token",
            f"http://{address}:18080/policy")
        assert done.returncode == 7, f"by {address}: {done}"


def test_guard_has_one_capability(containers):
    containers.guard("--dns", RESOLVER)
    with open(f"/proc/{containers.inspect('guard', '{{.State.Pid}}')}/status") as file:
        held = dict(re.findall(r"^(Cap\w+):\s+([0-9a-f]+)$", file.read(), re.MULTILINE))
    net_admin = 1 << 12
    assert {name: int(value, 16) for name, value in held.items() if name != "CapAmb"} == {
        "CapInh": 0, "CapPrm": net_admin, "CapEff": net_admin, "CapBnd": net_admin}


def test_a_guard_that_was_killed_leaves_its_rules_and_takes_them_over(containers):
    """As in a pod: the network belongs to neither of them, and outlives both."""
    containers.start("pause", "--dns", RESOLVER)
    containers.guard("--network", "container:pause", rules=["one.example"])
    containers.start("sandbox", "--network", "container:pause", "--cap-drop", "ALL")
    assert containers.fetch("http://one.example/") == ONE_PAGE
    containers.run("kill", "--signal", "KILL", "guard")
    assert containers.fetch(f"http://{ONE}/") == ONE_PAGE, "what was open stays open"
    assert containers.fetch(f"http://{TWO}/") is None
    assert containers.fetch("http://two.example/") is None
    containers.run("start", "guard")
    eventually(lambda: containers.fetch("http://one.example/") == ONE_PAGE, what="the guard")
    assert containers.fetch(f"http://{TWO}/") is None
    assert containers.fetch("http://two.example/") is None


def test_a_guard_that_ends_takes_its_own_network_with_it(containers):
    containers.guard("--dns", RESOLVER, rules=["one.example"])
    containers.sandbox()
    assert containers.fetch("http://one.example/") == ONE_PAGE
    containers.run("kill", "--signal", "KILL", "guard")
    assert containers.fetch(f"http://{ONE}/") is None
    assert containers.fetch(f"http://{TWO}/") is None


def test_a_wrong_setting_ends_the_guard_and_opens_nothing(containers):
    containers.start(
        "guard", "--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "-e", "OPENSANDBOX_EGRESS_MODE=open",
        image="sallyport/egress", command=())
    assert containers.run("wait", "guard").stdout.strip() == "2"
    assert "OPENSANDBOX_EGRESS_MODE" in containers.logs("guard")


@pytest.fixture
def named(engine):
    """A network with names of its own: its containers ask Docker's resolver."""
    engine.run("network", "create", "--subnet", "10.213.8.0/24", "named")
    yield "named"
    engine.remove_all()
    engine.run("network", "rm", "named")


def test_named_networks_with_an_upstream_of_the_operators(containers, named):
    containers.guard("--network", named, rules=["one.example"], DNS_UPSTREAM=RESOLVER)
    containers.sandbox()
    assert containers.fetch("http://one.example/") == ONE_PAGE
    assert containers.fetch("http://two.example/") is None


def test_named_networks_whose_servers_docker_tells(containers, named, tmp_path):
    told = tmp_path / "resolv.conf"
    told.write_text(f"nameserver 127.0.0.11\noptions ndots:0\n\n# ExtServers: [{RESOLVER}]\n# Overrides: [nameservers]\n")
    containers.guard("--network", named, "--volume", f"{told}:/etc/resolv.conf:ro", rules=["one.example"])
    containers.sandbox()
    assert f"{RESOLVER}:53" in containers.logs("guard")
    assert containers.fetch("http://one.example/") == ONE_PAGE


def test_named_networks_whose_servers_docker_does_not_tell(containers, named):
    containers.guard("--network", named, "--dns", RESOLVER, rules=["one.example"])
    containers.sandbox()
    is_told = "ExtServers" in containers.inside("cat", "/etc/resolv.conf", name="guard").stdout
    warning = "Docker's resolver may ask others from inside this namespace"
    assert (warning in containers.logs("guard")) == (not is_told)
    assert (containers.fetch("http://one.example/") == ONE_PAGE) == is_told, "the warning tells the truth"
    assert containers.fetch("http://two.example/") is None
