"""The official command line, `osb`."""

import json
import pathlib
import subprocess
import sys

import pytest
from support.server import IMAGE
from support.waiting import eventually

OSB = str(pathlib.Path(sys.executable).with_name("osb"))


class Done:
    """What a run of the program came to."""

    def __init__(self, result):
        self.returncode, self.stdout, self.stderr = result.exit_code, result.stdout, result.stderr
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            self.returncode, self.stderr = 1, repr(result.exception)


def in_process(words, environment, text):
    """The program's own code in this process: it takes seconds to import."""
    from click.testing import CliRunner
    from opensandbox_cli.main import cli

    return Done(CliRunner().invoke(cli, words, env=environment, input=text))


@pytest.fixture
def osb(server, tmp_path):
    environment = {**server.environment(), "HOME": str(tmp_path), "NO_COLOR": "1"}

    def run(*words, fails=False, text=None):
        done = in_process(words, environment, text)
        assert (done.returncode != 0) == fails, f"osb {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if not fails else done.stdout + done.stderr

    def as_json(*words):
        before = words.index("--") if "--" in words else len(words)
        return json.loads(run(*words[:before], "-o", "json", *words[before:]))

    run.json, run.environment = as_json, environment
    return run


def test_the_installed_program_finds_the_server_by_its_environment(osb, box):
    done = subprocess.run([OSB, "sandbox", "get", box, "-o", "json"], env=osb.environment, capture_output=True,
                          text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and json.loads(done.stdout)["id"] == box, done.stderr


@pytest.fixture
def box(osb, server, tmp_path):
    """A sandbox made by the command line; its id."""
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"defaultAction": "deny", "egress": [
        {"action": "allow", "target": "one.example"}, {"action": "deny", "target": "*:25"}]}))
    made = osb.json("sandbox", "create", "-i", IMAGE, "-t", "10m", "-m", "by=osb", "--resource", "cpu=1",
                    "--resource", "memory=256Mi", "--network-policy-file", str(policy))
    name = made["id"]
    server.seen.add(name)
    yield name
    with server.api as client:
        client.delete(f"/v1/sandboxes/{name}")


def test_the_life_of_a_sandbox(osb, box, server):
    assert osb.json("sandbox", "get", box)["status"]["state"] == "Running"
    listed = json.dumps(osb.json("sandbox", "list", "-m", "by=osb"))
    assert box in listed
    assert osb("sandbox", "health", box)
    assert "127.0.0.1" in json.dumps(osb.json("sandbox", "endpoint", box, "-p", "8000"))
    proxied = osb.json("--use-server-proxy", "sandbox", "endpoint", box, "-p", "8000")["endpoint"]
    assert proxied == f"127.0.0.1:{server.port}/v1/sandboxes/{box}/proxy/8000"
    assert osb.json("sandbox", "metrics", box)
    osb("sandbox", "renew", box, "-t", "30m")
    osb("sandbox", "pause", box)
    assert osb.json("sandbox", "get", box)["status"]["state"] == "Paused"
    osb("sandbox", "resume", box)
    assert osb.json("sandbox", "get", box)["status"]["state"] == "Running"
    osb("sandbox", "kill", box)
    assert "not found" in osb("sandbox", "get", box, fails=True).lower()


def test_commands(osb, box):
    assert osb("command", "run", box, "-o", "raw", "--", "sh", "-c", "echo one; echo two") == "one\ntwo\n"
    assert osb("command", "run", box, "--argv", "-o", "raw", "--", "echo", "$HOME") == "$HOME\n"
    assert osb("command", "run", box, "-w", "/usr", "-o", "raw", "--", "pwd") == "/usr\n"
    assert osb("--use-server-proxy", "command", "run", box, "-o", "raw", "--", "echo", "here") == "here\n"
    osb("command", "run", box, "--", "sh", "-c", "exit 3", fails=True)
    osb("command", "run", box, "-t", "1s", "--", "sleep", "30", fails=True)
    started = osb.json("command", "run", box, "-d", "--", "sh", "-c", "echo from behind; sleep 1000")
    name = started.get("execution_id") or started.get("id")
    eventually(lambda: "from behind" in osb("command", "logs", box, name), what="the log")
    assert osb.json("command", "status", box, name)["running"] is True
    osb("command", "interrupt", box, name)
    eventually(lambda: osb.json("command", "status", box, name)["running"] is False, what="the end")


def test_a_session(osb, box):
    made = osb.json("command", "session", "create", box)
    name = made.get("session_id") or made.get("id")
    osb("command", "session", "run", box, name, "--", "cd", "/usr")
    osb("command", "session", "run", box, name, "--", "export", "A=kept")
    assert osb("command", "session", "run", box, name, "-o", "raw", "--", "pwd").split() == ["/usr"]
    assert osb("command", "session", "run", box, name, "-o", "raw", "--", "printenv", "A").split() == ["kept"]
    osb("command", "session", "delete", box, name)


def test_files(osb, box, tmp_path):
    osb("file", "write", box, "/tmp/note", "-c", "hello", "--mode", "0640")
    assert osb("file", "cat", box, "/tmp/note").rstrip("\n") == "hello"
    local, back = tmp_path / "local", tmp_path / "back"
    local.write_bytes(bytes(range(256)) * 100)
    for way in ([], ["--use-server-proxy"]):
        osb(*way, "file", "upload", box, str(local), f"/tmp/up{len(way)}/binary")
        osb(*way, "file", "download", box, f"/tmp/up{len(way)}/binary", str(back))
        assert back.read_bytes() == local.read_bytes()
        back.unlink()
    assert "/tmp/note" in json.dumps(osb.json("file", "info", box, "/tmp/note"))
    osb("file", "chmod", box, "/tmp/note", "--mode", "0600")
    osb("file", "replace", box, "/tmp/note", "--old", "hello", "--new", "bye")
    osb("file", "mv", box, "/tmp/note", "/tmp/moved")
    assert osb("file", "cat", box, "/tmp/moved").rstrip("\n") == "bye"
    osb("file", "mkdir", box, "/tmp/folder")
    assert "/tmp/moved" in json.dumps(osb.json("file", "search", box, "/tmp", "-p", "mov*"))
    osb("file", "rmdir", box, "/tmp/folder")
    osb("file", "rm", box, "/tmp/moved")
    osb("file", "cat", box, "/tmp/moved", fails=True)


def test_the_policy(osb, box):
    assert "one.example" in json.dumps(osb.json("egress", "get", box)) and "*:25" in json.dumps(osb.json("egress", "get", box))
    osb("egress", "patch", box, "--rule", "allow=two.example")
    assert "two.example" in json.dumps(osb.json("--use-server-proxy", "egress", "get", box))
    for target in ("three.example:443/tcp", "[2001:db8::7]:8000-8100", "icmp://198.51.100.7", "preset:pypi", "*:2525"):
        osb("egress", "patch", box, "--rule", f"allow={target}")
        assert target in json.dumps(osb.json("egress", "get", box)), target
    assert "invalid target" in osb("egress", "patch", box, "--rule", "deny=https://one.example", fails=True)


def test_diagnostics(osb, box):
    assert "Running" in json.dumps(osb.json("diagnostics", "events", box, "-s", "runtime"))
    osb("diagnostics", "logs", box, "-s", "container")
    for kind in ("logs", "events", "inspect", "summary"):
        text = osb("devops", kind, box)
        assert kind == "logs" or box in text or "Running" in text


@pytest.mark.parametrize("words", [
    ["list"], ["get", "x"], ["delete", "x"], ["create", "-i", IMAGE, "-p", "s3://bucket/built"]], ids=lambda words: words[0])
def test_that_there_are_no_templates_is_told(osb, words):
    assert "[FSB::API_NOT_SUPPORTED] templates are not supported" in osb("template", *words, fails=True)


def test_a_wrong_key_is_told(osb, box):
    assert "INVALID_API_KEY" in osb("--api-key", "wrong", "sandbox", "get", box, fails=True)
