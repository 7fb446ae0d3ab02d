"""`sallyport sandbox`, `policy`, `status` and `doctor`: the commands of whoever uses a server (docs/cli.md)."""

import json
import os
import pathlib
import subprocess

import pytest
from support.server import BINARY

IMAGE = "sallyport/base:latest"
REFUSED, USAGE, NOT_FOUND, UNREACHABLE, FORBIDDEN = 1, 64, 66, 69, 77


@pytest.fixture
def run(server):
    """Runs the program as a user who has the server's variables, and nothing else of it."""

    def run(*words, status=0, given=b"", **variables):
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "OPEN_SANDBOX_DOMAIN": f"127.0.0.1:{server.port}",
                       "OPEN_SANDBOX_API_KEY": server.key, **variables}
        done = subprocess.run([BINARY, *words], env=environment, input=given, capture_output=True, timeout=60)
        assert done.returncode == status, f"{words}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout if status == 0 else done.stdout + done.stderr

    return run


@pytest.fixture
def made(run):
    """Makes a sandbox with these words, and ends it after the test."""
    ids = []

    def made(*words):
        ids.append(run("sandbox", "create", *words, IMAGE).decode().strip())
        return ids[-1]

    yield made
    for name in ids:
        run("sandbox", "kill", name)


def test_a_sandbox_from_its_create_to_its_end(run):
    name = run("sandbox", "create", "--allow", "one.example", "--label", "team=red", "--env", "GREETING=hello there",
               "--cpu", "500m", "--memory", "128Mi", "--timeout", "5m", IMAGE).decode().strip()
    listed = run("sandbox", "list", "--label", "team=red").decode().splitlines()
    assert listed[0].split() == ["ID", "STATE", "IMAGE", "AGE", "EXPIRES", "LABELS"]
    assert listed[1].split()[:3] == [name, "Running", IMAGE] and listed[1].split()[5] == "team=red"
    assert run("sandbox", "ls", "-o", "name", "--state", "Running", "--label", "team=red").decode() == f"{name}\n"
    assert run("sandbox", "ls", "-o", "name", "--label", "team=blue").decode() == ""
    [known] = json.loads(run("sandbox", "list", "-o", "json", "--label", "team=red"))
    assert known["id"] == name and json.loads(run("sandbox", "get", name, "-o", "json"))["status"]["state"] == "Running"
    assert "image       " in run("sandbox", "get", name).decode()
    assert run("sandbox", "exec", name, "--", "sh", "-c", "echo $GREETING").decode() == "hello there\n"
    assert run("sandbox", "renew", name, "1h").decode().startswith("20")
    assert "Running" in run("sandbox", "events", name).decode()
    assert run("sandbox", "pause", name).decode() == f"{name}\n"
    assert run("sandbox", "resume", name).decode() == f"{name}\n"
    assert run("sandbox", "kill", name).decode() == f"{name}\n"
    assert b"not found" in run("sandbox", "get", name, status=NOT_FOUND)


def test_a_program_runs_as_if_it_ran_here(run, made):
    sandbox = made()
    assert run("sandbox", "exec", sandbox, "--", "sh", "-c", "echo out; echo err >&2; exit 42", status=42).split() == [b"out", b"err"]
    assert run("sandbox", "exec", sandbox, "printf", "a\\nb") == b"a\nb\n"
    assert run("sandbox", "exec", "-i", sandbox, "--", "cat", given=b"one\ntwo\n" * 40_000) == b"one\ntwo\n" * 40_000
    assert run("sandbox", "exec", "-i", sandbox, "--", "true", given=b"unread" * 100_000) == b""
    assert run("sandbox", "exec", "--cwd", "/tmp", "--env", "A=b", sandbox, "--", "sh", "-c", "pwd; echo $A") == b"/tmp\nb\n"
    assert b"say what to run" in run("sandbox", "exec", sandbox, "--", status=USAGE)


def test_files_go_in_and_come_out_as_they_are(run, made, tmp_path):
    sandbox = made()
    content = os.urandom(3 << 20)
    (tmp_path / "tool").write_bytes(content)
    (tmp_path / "tool").chmod(0o750)
    run("sandbox", "cp", str(tmp_path / "tool"), f"{sandbox}:/tmp/")
    assert run("sandbox", "exec", sandbox, "--", "stat", "-c", "%a %s", "/tmp/tool").decode() == f"750 {len(content)}\n"
    run("sandbox", "cp", f"{sandbox}:/tmp/tool", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content and not list(tmp_path.glob("*.part"))
    run("sandbox", "cp", "-", f"{sandbox}:/tmp/said", given=b"of standard input")
    assert run("sandbox", "cp", f"{sandbox}:/tmp/said", "-") == b"of standard input"
    before = (tmp_path / "back").read_bytes()
    assert run("sandbox", "cp", f"{sandbox}:/tmp/none", str(tmp_path / "back"), status=NOT_FOUND)
    assert (tmp_path / "back").read_bytes() == before
    assert b"is a folder" in run("sandbox", "cp", str(tmp_path), f"{sandbox}:/tmp/x", status=USAGE)
    assert b"one side is" in run("sandbox", "cp", "a", "b", status=USAGE)


def test_a_copy_leaves_devices_links_and_rights_as_they_are(run, made, tmp_path):
    sandbox = made()
    run("sandbox", "cp", "-", f"{sandbox}:/tmp/said", given=b"new")
    run("sandbox", "cp", f"{sandbox}:/tmp/said", "/dev/null")
    assert pathlib.Path("/dev/null").is_char_device()
    kept, link = tmp_path / "kept", tmp_path / "link"
    kept.write_text("old")
    kept.chmod(0o600)
    link.symlink_to(kept)
    run("sandbox", "cp", f"{sandbox}:/tmp/said", str(link))
    assert link.is_symlink() and kept.read_text() == "new" and kept.stat().st_mode & 0o777 == 0o600
    assert b"is a folder" in run("sandbox", "cp", f"{sandbox}:/tmp/said", str(tmp_path), status=USAGE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept", "link"]


def test_a_policy_is_seen_changed_and_explained(run, made, tmp_path):
    sandbox = made("--allow", "one.example:443")
    assert json.loads(run("policy", "get", sandbox))["egress"] == [{"action": "allow", "target": "one.example:443"}]
    run("policy", "patch", sandbox, "--allow", "two.example", "--deny", "three.example", "--remove", "one.example:443")
    targets = [(rule["action"], rule["target"]) for rule in json.loads(run("policy", "get", sandbox))["egress"]]
    assert targets == [("deny", "three.example"), ("allow", "two.example")]
    assert b"allow" in run("policy", "explain", sandbox, "two.example", "--port", "443")
    assert b"den" in run("policy", "explain", sandbox, "one.example", status=REFUSED)
    assert json.loads(run("policy", "explain", sandbox, "two.example", "--json"))["enforced"] is True
    assert "egress" in json.loads(run("policy", "suggest", sandbox))
    file = tmp_path / "policy.json"
    file.write_text('{"defaultAction": "allow", "egress": []}')
    assert json.loads(run("policy", "set", sandbox, str(file)))["defaultAction"] == "allow"
    file.write_text('{"defaultAction": "alow"}')
    assert b"alow" in run("policy", "set", sandbox, str(file), status=REFUSED)
    assert json.loads(run("policy", "get", sandbox))["defaultAction"] == "allow"
    assert b"--allow, --deny or --remove" in run("policy", "patch", sandbox, status=USAGE)


def test_a_policy_is_checked_without_a_server(run, tmp_path):
    file = tmp_path / "policy.json"
    file.write_text('{"defaultAction": "deny", "egress": [{"action": "allow", "target": "*.example.com:443"}, '
                    '{"action": "allow", "target": "10.0.0.0/8"}]}')
    nowhere = {"OPEN_SANDBOX_DOMAIN": "127.0.0.1:1"}
    assert run("policy", "check", str(file), **nowhere).decode().splitlines() == [
        "allow *.example.com:443", "allow 10.0.0.0/8", "deny everything else"]
    assert b"allow" in run("policy", "check", str(file), "--target", "a.example.com:443", "--target", "10.1.2.3")
    assert b"example.com" in run("policy", "check", str(file), "--target", "example.com", status=REFUSED)
    assert b"one name or one address" in run("policy", "check", str(file), "--target", "10.0.0.0/24", status=REFUSED)
    file.write_text('{"egress": [{"action": "allow", "target": "10.0.0.1/8"}]}')
    assert b"10.0.0.0/8" in run("policy", "check", str(file), status=REFUSED)
    assert b"cannot be read" in run("policy", "check", str(tmp_path / "none"), status=NOT_FOUND)


def test_a_wrong_create_makes_nothing(run, tmp_path):
    before = run("sandbox", "list", "-o", "name")
    assert b"name one of an image" in run("sandbox", "create", status=USAGE)
    assert b"NAME=VALUE" in run("sandbox", "create", "--env", "x", IMAGE, status=USAGE)
    assert b"90s, 10m" in run("sandbox", "create", "--timeout", "soon", IMAGE, status=USAGE)
    assert b"give --policy, or" in run("sandbox", "create", "--policy", "x", "--allow", "y", IMAGE, status=USAGE)
    assert run("sandbox", "create", "--allow", "not a name", IMAGE, status=REFUSED)
    assert run("sandbox", "list", "-o", "name") == before


def test_a_server_that_is_not_there_and_a_key_that_is_wrong_are_told_apart(run, server):
    said = run("status", status=UNREACHABLE, OPEN_SANDBOX_DOMAIN="127.0.0.1:1")
    assert b"Is the server running" in said and server.key.encode() not in said
    said = run("sandbox", "list", status=FORBIDDEN, OPEN_SANDBOX_API_KEY="m1staken")
    assert b"sallyport key create" in said and b"m1staken" not in said
    assert b"is no server" in run("status", status=USAGE, OPEN_SANDBOX_DOMAIN="ftp://x")
    assert b"no key that can be read" in run("status", "--api-key-file", "/nonexistent", status=USAGE)


def test_status_counts_what_there_is(run, made):
    made()
    answer = json.loads(run("status", "--json"))
    assert answer["health"]["status"] == "healthy" and answer["sandboxes"]["Running"] >= 1
    assert b"healthy" in run("status")


def test_several_are_ended_and_each_failure_is_told(run):
    ids = [run("sandbox", "create", IMAGE).decode().strip() for _ in range(2)]
    said = run("sandbox", "kill", ids[0], "no-such-one", ids[1], status=NOT_FOUND).decode()
    assert all(name in said for name in ids) and "no-such-one" in said
    assert not set(ids) & set(run("sandbox", "list", "-o", "name").decode().split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_the_commands(run, shell):
    script = run("--generate-completion-script", shell).decode()
    assert all(word in script for word in ("sandbox", "policy", "explain"))


def doctor(*before, config, status=0):
    done = subprocess.run([*before, BINARY, "doctor", "--json", "--config", str(config)], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done
    return {finding["place"]: finding for finding in json.loads(done.stdout)}


def test_the_doctor_finds_a_machine_fit_that_serves(server):
    found = doctor(config=server.config)
    assert {"kernel", "control groups", "OCI runtime", "skopeo", "firewall", "addresses", "clock", "disk"} <= set(found)
    assert all(finding["grade"] != "problem" for finding in found.values())


def test_the_doctor_says_what_stands_in_the_way_and_what_to_do(server, tmp_path):
    hidden = "for f in /usr/local/bin/skopeo /usr/bin/skopeo /usr/bin/crun /usr/bin/runc /usr/sbin/runc /usr/local/bin/crun; do " \
        "[ ! -e $f ] || mount --bind /dev/null $f; done; nft add table inet other; " \
        "nft 'add chain inet other pass { type filter hook forward priority 0; policy drop; }'; exec \"$@\""
    found = doctor("unshare", "--mount", "--net", "sh", "-ec", hidden, "sh", config=server.config, status=1)
    assert found["skopeo"]["remedy"] == "apt-get install skopeo" and found["OCI runtime"]["grade"] == "problem"
    assert "nft insert rule inet other pass" in found["firewall"]["remedy"]
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[server]\nprot = 1\n")
    assert "did you mean port" in doctor(config=wrong, status=1)["configuration"]["text"]


def test_a_misspelt_command_is_told_from_the_right_one(run):
    assert b"did you mean sandbox?" in run("sandbx", "list", status=USAGE)
    assert b"--help" in run("nonsense", status=USAGE)
