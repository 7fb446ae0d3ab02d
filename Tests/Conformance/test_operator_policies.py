"""What the operator says of policies: the default one, lists that outrank all, presets of its own (docs/egress.md#what-the-operator-decides)."""

import json
import os
import signal
import subprocess

import pytest
from support.inside import fetches, resolves
from support.server import AllInOneServer, BINARY, deny_but
from support.waiting import eventually
from test_egress import Keeper

TAKEN, LEFT = "presets and default policy reloaded", "the presets or the default policy cannot be used; the previous ones stay in force"


@pytest.fixture(scope="module")
def operated(world):
    server = AllInOneServer(world)
    for folder in ("rules", "presets"):
        (server.folder / folder).mkdir()
    (server.folder / "presets/ours.json").write_text(
        '{"name": "ours", "description": "The tests\' own.", "allow": [{"target": "one.example", "ports": [80, 7]}]}')
    (server.folder / "default.json").write_text('{"egress": [{"preset": "ours"}]}')
    server.egress |= {"rules_dir": f'"{server.folder}/rules"', "own_presets": f'"{server.folder}/presets"',
                      "default_policy": f'"{server.folder}/default.json"', "block_dot": "true"}
    server.write_configuration()
    try:
        yield server.start()
    finally:
        server.tear_down()


def run(server, *words):
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "OPEN_SANDBOX_DOMAIN": f"127.0.0.1:{server.port}",
                   "OPEN_SANDBOX_API_KEY": server.key}
    return subprocess.run([BINARY, *words], env=environment, check=True, capture_output=True, text=True, timeout=60).stdout


def policy(server, sandbox):
    return server.api.get(f"/v1/sandboxes/{sandbox.id}/networkpolicy").json()


def effective(server, sandbox):
    answer = server.api.get(f"/v1/sandboxes/{sandbox.id}/networkpolicy/effective").json()
    return answer, {layer["layer"]: layer for layer in answer["layers"]}


def stale(server):
    lines = server.api.get("/metrics").text.splitlines()
    return next(line.split()[-1] for line in lines if line.startswith("sallyport_egress_lists_stale"))


def hang_up(server, awaited):
    before = server.log.read_text().count(awaited)
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: server.log.read_text().count(awaited) > before, what=awaited)


def test_a_sandbox_without_a_policy_has_the_operators_which_a_signal_changes_for_later_ones(operated):
    server, default = operated, operated.folder / "default.json"
    ours = [{"action": "allow", "preset": "ours", "target": "preset:ours"}]
    sandbox = server.create()
    assert policy(server, sandbox)["policy"] == {"defaultAction": "deny", "egress": ours}
    assert fetches(sandbox, "http://one.example/") and not resolves(sandbox, "two.example")
    assert effective(server, sandbox)[1]["policy"]["from"] == "operator"

    default.write_text('{"egress": [{"action": "allow", "target": "https://two.example/"}]}')
    hang_up(server, LEFT)
    assert str(default) in server.log.read_text()
    default.write_text('{"egress": [{"action": "allow", "target": "two.example"}]}')
    hang_up(server, TAKEN)
    later = server.create()
    assert policy(server, later)["policy"]["egress"] == [{"action": "allow", "target": "two.example"}]
    assert resolves(later, "two.example") and not resolves(later, "one.example")
    assert policy(server, sandbox)["policy"]["egress"] == ours, "what runs keeps its own"

    # It is the client's from its first change on.
    sandbox.patch_egress_rules([deny_but("two.example").egress[0]])
    assert [rule["target"] for rule in policy(server, sandbox)["policy"]["egress"]] == ["two.example", "preset:ours"]
    assert effective(server, sandbox)[1]["policy"]["from"] == "client"


def test_lists_outrank_every_policy_and_end_what_they_no_longer_allow(operated):
    server, rules = operated, operated.folder / "rules"
    sandbox = server.create(network_policy=deny_but("one.example"))
    connection = Keeper(sandbox, "one.example")
    (rules / "allow.always").write_text("three.example\n")
    (rules / "deny.always").write_text("one.example # no more\n")
    eventually(connection.is_dead, what="the end of what is no longer allowed")
    assert not resolves(sandbox, "one.example") and resolves(sandbox, "three.example")
    assert [rule["target"] for rule in policy(server, sandbox)["policy"]["egress"]] == ["one.example"]
    sandbox.patch_egress_rules([deny_but("one.example").egress[0]])
    assert not resolves(sandbox, "one.example"), "no client opens it"
    answer, layers = effective(server, sandbox)
    assert [layer["layer"] for layer in answer["layers"]] == [
        "guardrails", "block_dot", "deny.always", "allow.always", "policy", "default", "budgets"]
    assert layers["deny.always"]["rules"] == [{"action": "deny", "target": "one.example"}] and not answer["staleLists"]
    assert layers["default"]["action"] == "deny" and layers["policy"]["from"] == "client" and stale(server) == "0"

    (rules / "deny.always").write_text("two.example\n10.0.0.1/8\n")
    eventually(lambda: stale(server) == "1", what="a mistake that is told")
    assert f"{rules}/deny.always, line 2" in server.log.read_text() and effective(server, sandbox)[0]["staleLists"]
    assert not resolves(sandbox, "one.example"), "those before it stay"
    # A sandbox that is made meanwhile has them, too.
    assert not resolves(server.create(network_policy=deny_but("one.example")), "one.example")
    (rules / "deny.always").unlink()
    eventually(lambda: resolves(sandbox, "one.example"), what="the list's end")
    assert stale(server) == "0"


def test_the_command_line_shows_what_holds_and_which_presets_there_are(operated):
    server = operated
    sandbox = server.create(network_policy=deny_but("one.example:443"))
    said = run(server, "policy", "get", "--effective", sandbox.id).splitlines()
    assert said[0].startswith("guardrails (sallyport): ") and "  allow one.example:443" in said and "  deny everything" in said
    assert json.loads(run(server, "policy", "get", "--effective", "--json", sandbox.id))["enforced"] is True
    told = run(server, "policy", "presets", "--config", str(server.config)).splitlines()
    assert f"ours: The tests' own. ({server.folder}/presets/ours.json)" in told and "  allow one.example 80,7" in told
    assert any(line.startswith("pypi: ") for line in told)
    file = server.folder / "checked.json"
    file.write_text('{"egress": [{"preset": "ours"}]}')
    assert run(server, "policy", "check", "--config", str(server.config), str(file)).startswith("allow one.example")
    (server.folder / "mine").mkdir()
    (server.folder / "mine/pypi.json").write_text('{"name": "pypi", "description": "x", "allow": [{"target": "x.example"}]}')
    refused = subprocess.run(
        [BINARY, "policy", "check", "--config", str(server.config), "--own-presets", str(server.folder / "mine"), str(file)],
        capture_output=True, text=True)
    assert refused.returncode == 1 and "mine/pypi.json: the preset pypi is in" in refused.stderr
