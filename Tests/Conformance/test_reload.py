"""SIGHUP: a server reads its configuration again (docs/server.md#reload)."""

import os
import signal
import subprocess

import httpx
import pytest
from support.server import AllInOneServer, BINARY
from support.waiting import eventually


@pytest.fixture
def reloadable(world):
    server = AllInOneServer(world)
    try:
        yield server.start()
    finally:
        server.tear_down()


def text(server):
    return server.log.read_text(errors="replace")


def reload(server, *changes):
    """Changes the file, sends the signal, and returns what the log says of it."""
    configuration = server.config.read_text()
    for old, new in changes:
        assert old in configuration
        configuration = configuration.replace(old, new, 1)
    server.config.write_text(configuration)
    before = len(text(server))
    server.process.send_signal(signal.SIGHUP)
    words = ("configuration reloaded", "the changed configuration cannot be used")
    eventually(lambda: any(word in text(server)[before:] for word in words), what="a reload")
    return text(server)[before:]


def status(server, host="127.0.0.1"):
    return httpx.get(f"{server.base}/v1/sandboxes", headers={"OPEN-SANDBOX-API-KEY": server.key, "host": host}).status_code


def test_a_signal_changes_what_may_change_in_every_process_and_names_the_rest(reloadable):
    server = reloadable
    assert status(server, "other.example") == 421
    said = reload(
        server, ("[server]\n", '[server]\nnames = ["other.example"]\nlimit_concurrency = 7\n'),
        ('level = "DEBUG"', 'level = "INFO"'))
    assert "log.level" in said and "server.names" in said
    assert "take effect only after a restart" in said and "server.limit_concurrency" in said
    eventually(lambda: status(server, "other.example") == 200)
    said = reload(server, ('names = ["other.example"]', "names = []"))
    eventually(lambda: status(server, "other.example") == 421)
    assert server.process.poll() is None and server.ends() == 0
    # A process that is started anew has what is in force now.
    reload(server, ("names = []", 'names = ["third.example"]'))
    eventually(lambda: status(server, "third.example") == 200)
    part = next(line.split()[0] for line in subprocess.run(
        ["ps", "--ppid", str(server.process.pid), "-o", "pid=,args="], capture_output=True, text=True).stdout.splitlines()
        if "process server" in line)
    os.kill(int(part), signal.SIGKILL)
    eventually(lambda: server.ends() == 1)
    eventually(server._is_up)
    assert status(server, "third.example") == 200


def test_the_gateway_takes_limits_and_its_access_log_while_it_serves(reloadable):
    server = reloadable
    ask = lambda name="x": httpx.get(server.gateway, headers={"OpenSandbox-Ingress-To": "nobody-80", "X-Request-ID": name})
    line = lambda name: next((line for line in text(server).splitlines() if f"request={name}" in line), "")
    assert ask("first").headers["x-request-id"] == "first"
    eventually(lambda: "code=SANDBOX_NOT_FOUND" in line("first"), what="a line of the access log")
    # What a client calls a sandbox is its own text.
    assert "process=gateway" in line("first") and "nobody" not in line("first")
    said = reload(server, ("[ingress]\n", '[ingress]\naccess_log = "off"\n'),
                  ("[local]\n", "[ingress.limits]\nclient_rate = 1\nclient_burst = 3\n[local]\n"))
    assert "ingress.limits.client_rate" in said and "restart" not in said and "ingress.access_log" in said
    eventually(lambda: ask("second").status_code == 429, what="the limit")
    assert httpx.get(server.gateway).json()["code"] == "RATE_LIMITED"
    reload(server, ("client_rate = 1\nclient_burst = 3\n", ""))
    eventually(lambda: ask("third").status_code == 404, what="the end of the limit")
    assert not line("second") and not line("third")


def test_ready_says_what_is_there_and_to_whom(reloadable):
    server = reloadable
    answer = httpx.get(f"{server.base}/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    whole = httpx.get(f"{server.base}/ready", headers={"OPEN-SANDBOX-API-KEY": server.key}).json()
    assert {check["name"]: check["ready"] for check in whole["checks"]} == dict.fromkeys(
        ("guard", "gateway", "runtime", "disk", "store", "directory"), True)
    assert httpx.get(f"{server.gateway}/ready").json() == {"status": "ready"}
    # A guard that answers nobody: the server lives, and is not ready.
    part = lambda name: int(next(line.split()[0] for line in subprocess.run(
        ["ps", "--ppid", str(server.process.pid), "-o", "pid=,args="], capture_output=True, text=True).stdout.splitlines()
        if f"process {name}" in line))
    guard = part("guard")
    os.kill(guard, signal.SIGSTOP)
    try:
        eventually(lambda: httpx.get(f"{server.base}/ready").status_code == 503, what="the truth about the guard")
        assert httpx.get(f"{server.base}/health").status_code == 200
    finally:
        os.kill(guard, signal.SIGCONT)
    eventually(lambda: httpx.get(f"{server.base}/ready").status_code == 200)


def test_a_broken_file_changes_nothing_and_says_why(reloadable):
    server = reloadable
    said = reload(server, ("[server]\n", '[server]\nnames = ["other.example"]\nmax_sandbox_timeout_seconds = "x"\n'))
    assert "the previous one stays in force" in said and "server.max_sandbox_timeout_seconds" in said
    assert status(server, "other.example") == 421 and server.process.poll() is None
    said = reload(server, ('max_sandbox_timeout_seconds = "x"', "max_sandbox_timeout_seconds = 600"))
    eventually(lambda: status(server, "other.example") == 200)


def test_a_key_is_rotated_without_a_restart(reloadable):
    server = reloadable

    def run(*words):
        return subprocess.run(
            [BINARY, "key", *words, "--config", str(server.config)], check=True, capture_output=True, text=True).stdout.strip()

    def status(key):
        return httpx.get(f"{server.base}/v1/sandboxes", headers={"OPEN-SANDBOX-API-KEY": key}).status_code

    first = run("create", "ci")
    eventually(lambda: status(first) == 200)
    second = run("rotate", "ci", "--keep-old-for", "1h")
    eventually(lambda: status(second) == 200)
    assert status(first) == 200
    third = run("rotate", "ci")
    eventually(lambda: status(third) == 200)
    assert status(first) == 401 and status(second) == 401
    assert not any(key in text(server) for key in (first, second, third))
