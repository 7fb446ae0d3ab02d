"""`sallyport serve`, `sallyport guard` and `sallyport ingress` as three processes (docs/egress.md, docs/ingress.md)."""

import os
import re
import subprocess

import httpx
import pytest
from opensandbox.models.sandboxes import NetworkRule
from support.server import BACKTRACE, BINARY, ROOT, AllInOneServer, deny_but
from support.inside import ECHO_SERVER, fetches, resolves, say, start_server
from support.waiting import answers, eventually


def rights(unit):
    """What runs a program with no more than its unit of systemd gives it."""
    text = (ROOT / "deploy/systemd" / unit).read_text()
    names = [word.removeprefix("CAP_").lower() for line in re.findall(r"^CapabilityBoundingSet=(.*)$", text, re.M)
             for word in line.split()]
    assert 0 < len(names) < 5 and "NoNewPrivileges=yes" in text
    return ["setpriv", "--no-new-privs", "--bounding-set", ",".join(["-all", *(f"+{name}" for name in names)])]


class Part:
    """One of the commands, with the server's own configuration; the guard with the rights of its unit."""

    def __init__(self, server, command):
        self.log = server.folder / f"{command}.log"
        with open(self.log, "ab") as log:
            through = rights("sallyport-guard.service") if command == "egress" else []
            self.process = subprocess.Popen(
                [*through, BINARY, command, "--config", str(server.config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **BACKTRACE}, start_new_session=True)
        word = {"egress": "the guard serves on", "ingress": "the gateway listens on"}[command]
        eventually(lambda: word in self.log.read_text() or self._ended(), within=30, what=command)

    def _ended(self):
        assert self.process.poll() is None, self.log.read_text()[-2000:]

    def end(self, abruptly=False):
        self.process.kill() if abruptly else self.process.terminate()
        code = self.process.wait(timeout=15)
        # What it says when it is started again is waited for.
        self.log.unlink(missing_ok=True)
        return code


class Parts:
    def __init__(self, world):
        self.server = AllInOneServer(world, ingress={"external": "true"}, egress={"external": "true"})
        self.running = {}

    def start(self, command):
        self.running[command] = Part(self.server, command)

    def end(self, command, abruptly=False):
        return self.running.pop(command).end(abruptly)

    def close(self):
        try:
            self.server.tear_down()
        finally:
            for part in self.running.values():
                part.end()


@pytest.fixture
def parts(world):
    parts = Parts(world)
    try:
        parts.start("egress")
        parts.server.start()
        parts.start("ingress")
        yield parts
    finally:
        parts.close()


def ask(server, sandbox, port=8000):
    headers = {"OpenSandbox-Ingress-To": f"{sandbox.id}-{port}"}
    return answers(lambda: httpx.get(f"{server.gateway}/x", headers=headers, timeout=5), httpx.TransportError)


def test_a_guarded_sandbox_is_made_used_and_deleted_with_each_part_in_its_own_process(parts, world):
    server = parts.server
    sandbox = server.create(network_policy=deny_but("one.example"))
    assert say(sandbox, "echo inside") == "inside"
    assert fetches(sandbox, "http://one.example/") and not resolves(sandbox, "two.example")
    assert not fetches(sandbox, f"http://{world.two}/")
    start_server(sandbox, ECHO_SERVER)
    assert ask(server, sandbox).json()["target"] == "/x"
    server.api.delete(f"/v1/sandboxes/{sandbox.id}")
    eventually(lambda: ask(server, sandbox).status_code == 404, what="the end of the route")
    sandbox.close()


def test_the_gateway_is_started_again_and_knows_every_sandbox(parts):
    server = parts.server
    sandbox = server.create()
    start_server(sandbox, ECHO_SERVER)
    assert ask(server, sandbox).status_code == 200
    assert parts.end("ingress") == 0 and ask(server, sandbox) is None
    parts.start("ingress")
    assert ask(server, sandbox).status_code == 200
    sandbox.close()


def test_the_guard_is_killed_and_what_was_denied_stays_denied(parts, world):
    server = parts.server
    sandbox = server.create(network_policy=deny_but("one.example"))
    assert fetches(sandbox, "http://one.example/")
    parts.end("egress", abruptly=True)
    assert not fetches(sandbox, f"http://{world.two}/") and not resolves(sandbox, "two.example")
    parts.start("egress")
    eventually(lambda: fetches(sandbox, "http://one.example/"), what="the allowed name")
    assert not fetches(sandbox, f"http://{world.two}/") and not resolves(sandbox, "two.example")
    sandbox.patch_egress_rules([NetworkRule(action="allow", target="two.example")])
    assert fetches(sandbox, "http://two.example/")
    sandbox.close()
