"""`sallyport sandbox`, `policy`, `status` and `doctor`: the commands of whoever uses a server (docs/cli.md)."""

import fcntl
import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest
from support.parts import status as process_status
from support.server import BINARY
from support.waiting import answers, eventually

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
    assert b"write ID:/path" in run("sandbox", "cp", "a", "b", status=USAGE)


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
    assert b"  name: asking for the name is" in run("policy", "explain", sandbox, "two.example")
    suggested = json.loads(run("policy", "suggest", sandbox))
    assert suggested["egress"][0]["target"] == "three.example" and suggested["unused"] == ["two.example"]
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
    assert b"is not the address of a server" in run("status", status=USAGE, OPEN_SANDBOX_DOMAIN="ftp://x")
    assert b"no key can be read" in run("status", "--api-key-file", "/nonexistent", status=USAGE)


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


class Terminal:
    """`sallyport sandbox shell` at a terminal of its own."""

    def __init__(self, server, *words):
        self.master, self.slave = os.openpty()
        self.resize(31, 97)
        self.before, self.seen = termios.tcgetattr(self.slave), b""
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "vt220",
                       "OPEN_SANDBOX_DOMAIN": f"127.0.0.1:{server.port}", "OPEN_SANDBOX_API_KEY": server.key}
        self.process = subprocess.Popen(
            [BINARY, "sandbox", "shell", *words], env=environment, stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text)

    def until(self, text, within=30):
        """Reads on until the screen has said this."""
        end = time.monotonic() + within
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 65536)
        self.seen = self.seen[self.seen.index(text) + len(text):]

    def end(self):
        """How it has ended; the terminal is as it was."""
        status = self.process.wait(timeout=30)
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.slave)
        os.close(self.master)
        return status


def test_a_shell_is_a_terminal_of_the_sandbox(run, made, server):
    sandbox = made()
    assert b"exec -i" in run("sandbox", "shell", sandbox, status=USAGE)
    shell = Terminal(server, sandbox)
    shell.type(b"echo $((40 + 2)) $TERM; stty size\r")
    shell.until(b"42 vt220\r\n31 97\r\n")
    assert not termios.tcgetattr(shell.slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG), "keys go on as they are"
    # An interrupt before the program is in the foreground would be the shell's: the program itself says that it is.
    shell.type(b"sh -c \"echo re''ady; exec sleep 1000\"\r")
    shell.until(b"ready\r\n")
    shell.type(b"\x03")
    # What is typed before bash has its prompt again may be read by a parser that the interrupt has left in the middle.
    shell.until(b"# ")
    shell.resize(40, 120)
    # The size is on its way beside what is typed.
    shell.type(b"until [ \"$(stty size)\" = '40 120' ]; do sleep 0.1; done; echo re''sized\r")
    shell.until(b"resized\r\n")
    shell.type(b"exit 7\r")
    shell.until(b"exit")
    assert shell.end() == 7
    program = Terminal(server, "--cwd", "/tmp", "--env", "A=it's", sandbox, "--", "sh", "-c", 'echo "$PWD $A $1"; kill -9 $$', "sh", "a b")
    program.until(b"/tmp it's a b\r\n")
    assert program.end() == 128 + signal.SIGKILL


def test_a_shell_gives_the_terminal_back_however_it_ends(run, server):
    sandbox = run("sandbox", "create", IMAGE).decode().strip()

    def sleeping(seconds):
        shell = Terminal(server, sandbox)
        shell.type(f"echo re''ady; sleep {seconds}\r".encode())
        shell.until(b"ready\r\n")
        return shell

    def is_gone(seconds):
        return run("sandbox", "exec", sandbox, "--", "sh", "-c", f"pgrep -f '[s]leep {seconds}' || echo none") == b"none\n"

    left = sleeping(1001)
    left.type(b"\r~.")
    assert left.end() == 0
    eventually(lambda: is_gone(1001), what="the end of what ran in the terminal that was left")
    ended = sleeping(1002)
    ended.process.send_signal(signal.SIGTERM)
    assert ended.end() == 128 + signal.SIGTERM
    eventually(lambda: is_gone(1002), what="the end of what ran in the terminal whose command was ended")
    stopped = sleeping(1003)
    stopped.process.send_signal(signal.SIGTSTP)
    eventually(lambda: process_status(stopped.process.pid)["State"].startswith("T"), what="the stop")
    assert termios.tcgetattr(stopped.slave) == stopped.before
    stopped.process.send_signal(signal.SIGCONT)
    eventually(lambda: termios.tcgetattr(stopped.slave) != stopped.before, what="the terminal when it goes on")
    run("sandbox", "kill", sandbox)
    stopped.until(b"cut off")
    assert stopped.end() == UNREACHABLE


def test_images_are_pulled_listed_and_removed(run, registry):
    image = registry.push("private/command:1")
    assert b"--password-file go together" in run("image", "pull", "--username", "u", image, status=USAGE)
    assert b"refuses" in run("image", "pull", image, status=REFUSED)
    words = ["image", "pull", "--username", registry.user, "--password-file", "-", image]
    assert b"refuses" in run(*words, given=b"wrong\n", status=REFUSED)
    assert run(*words, given=registry.password.encode() + b"\n").decode().strip() == image
    listed = run("image", "list").decode().splitlines()
    assert listed[0].split() == ["IMAGE", "DIGEST", "FOR", "IN", "USE"]
    [line] = [line for line in listed if line.startswith(image)]
    assert "those its registry admits" in line and line.endswith("no")
    [known] = [known for known in json.loads(run("image", "ls", "-o", "json")) if known["uri"] == image]
    assert known["access"] == "private" and known["inUse"] is False and known["digest"].startswith("sha256:")
    assert b"its operator removes it" in run("image", "rm", "sallyport/base:latest", status=REFUSED)
    assert run("image", "remove", image).decode() == f"{image}\n"
    assert b"no image" in run("image", "remove", image, status=NOT_FOUND)
    run(*words, given=registry.password.encode())
    assert image in run("image", "prune").decode().split()
    assert image not in run("image", "list", "-o", "name").decode().split()


def test_a_snapshot_from_its_create_to_its_end(run, made, server):
    sandbox = made()
    run("sandbox", "cp", "-", f"{sandbox}:/tmp/kept", given=b"kept")
    taken = run("snapshot", "create", "--name", "by hand", sandbox).decode().strip()
    listed = run("snapshot", "list", "--sandbox", sandbox).decode().splitlines()
    assert listed[0].split() == ["ID", "STATE", "CREATED", "SANDBOX", "NAME"] and listed[1].split()[:2] == [taken, "Ready"]
    assert json.loads(run("snapshot", "get", taken, "-o", "json"))["name"] == "by hand"
    # The same is read of the server's files.
    offline = run("snapshot", "list", "--offline", "--state-directory", str(server.state)).decode().splitlines()
    assert listed[1] in offline
    same = json.loads(run("snapshot", "list", "--offline", "-o", "json", "--state-directory", str(server.state)))
    assert json.loads(run("snapshot", "get", taken, "-o", "json")) in same
    restored = run("sandbox", "create", "--snapshot", taken).decode().strip()
    assert run("sandbox", "exec", restored, "--", "cat", "/tmp/kept") == b"kept\n"
    run("sandbox", "kill", restored)
    assert run("snapshot", "delete", taken).decode() == f"{taken}\n"
    assert b"not found" in run("snapshot", "get", taken, status=NOT_FOUND)
    assert b"--offline" in run("snapshot", "list", "--state-directory", "/tmp", status=USAGE)


def test_nothing_of_progress_or_colour_is_in_pipes(run, made):
    sandbox = made()
    for words in (["sandbox", "list"], ["image", "list"], ["snapshot", "list"], ["status"], ["sandbox", "get", sandbox]):
        assert b"\x1b" not in run(*words) and b"\r" not in run(*words), words


@pytest.mark.parametrize(("variables", "colours"), [
    ({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({}, False)])
def test_states_have_colours_on_a_terminal_whose_user_wants_them(server, variables, colours):
    master, slave = os.openpty()
    environment = {"HOME": "/nonexistent", "OPEN_SANDBOX_DOMAIN": f"127.0.0.1:{server.port}",
                   "OPEN_SANDBOX_API_KEY": server.key, **variables}
    subprocess.run([BINARY, "status"], env=environment, stdin=subprocess.DEVNULL, stdout=slave, check=True, timeout=60)
    os.close(slave)
    said = b""
    # What is written may come in several parts; reading fails at the end, since nobody has the other side any more.
    while part := answers(lambda: os.read(master, 65536), OSError):
        said += part
    os.close(master)
    assert (b"\x1b[1mSERVER\x1b[0m" in said and b"\x1b[32mhealthy\x1b[0m" in said) == colours
    assert (b"\x1b" in said) == colours and b"healthy" in said


def test_who_waits_at_a_terminal_sees_for_how_long():
    master, slave = os.openpty()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        words = [BINARY, "sandbox", "create", "--server", f"127.0.0.1:{silent.getsockname()[1]}", "registry.example/tool:1"]
        waiting = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave,
                                   env={"TERM": "xterm", "HOME": "/nonexistent", "OPEN_SANDBOX_API_KEY": "key"})
        seen = b""
        while b"registry.example/tool:1 1s" not in seen:
            assert select.select([master], [], [], 30)[0], seen
            seen += os.read(master, 65536)
        waiting.kill()
        waiting.wait()
    assert seen.startswith(b"\r\x1b[K") and b"\n" not in seen
    os.close(master)
    os.close(slave)


def test_keys_are_listed_for_people_and_for_programs(run, tmp_path):
    state = ["--state-directory", str(tmp_path / "state")]
    text = run("key", "create", "ci", "--scope", "read", *state).decode().strip()
    assert text.startswith("sp_")
    table = run("key", "list", *state).decode().splitlines()
    assert table[0].split()[:4] == ["NAME", "ID", "SCOPE", "CREATED"] and table[1].split()[0] == "ci" and table[1].split()[2] == "read"
    [key] = json.loads(run("key", "list", "-o", "json", *state))
    assert set(key) == {"name", "id", "scope", "createdAt"} and key["id"] in text
    run("key", "rotate", "ci", "--keep-old-for", "1h", *state)
    assert "formerUntil" in json.loads(run("key", "list", "-o", "json", *state))[0]
    assert b"no key" in run("key", "revoke", "nobody", *state, status=REFUSED)


# Of what is no API's own JSON, all keys; of the rest some.
OFFLINE = ["--state-directory", "STATE"]
TOKEN = ["--keys", "a=base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "--epoch", "0.0",
         "my-sandbox-8080-x2qxvk-mllt42hugv4xno2ucijfarubkaa"]


@pytest.mark.parametrize("words, keys", [
    (["status"], {"server", "api", "health", "ready", "sandboxes"}),
    (["doctor", "--config", "CONFIG"], {"grade", "place", "text"}),
    (["key", "list", *OFFLINE], {"name", "id", "scope", "createdAt"}),
    (["volume", "list", *OFFLINE], {"name", "bytes", "madeBy", "createdAt", "sandboxes"}),
    (["token", "verify", *TOKEN], {"validForSeconds", "once"}),
    (["token", "inspect", TOKEN[-1]], {"version", "stands", "sandbox", "port", "expires", "key"}),
    (["policy", "presets"], {"name", "description", "path", "rules"}),
    (["sandbox", "list"], {"id", "status"}), (["sandbox", "get", "SANDBOX"], {"id", "status"}),
    (["sandbox", "events", "SANDBOX"], {"sandboxId", "kind", "content"}), (["policy", "get", "SANDBOX"], {"defaultAction", "egress"}),
    (["policy", "get", "--effective", "SANDBOX"], {"enforced", "layers"}),
    (["policy", "explain", "SANDBOX", "one.example"], {"verdict", "path"})])
def test_what_is_printed_for_people_is_json_where_that_is_asked_for(run, server, modules_sandbox, tmp_path, words, keys):
    state = tmp_path / "state"
    places = {"STATE": str(state), "CONFIG": str(server.config), "SANDBOX": modules_sandbox.id}
    words = [places.get(word, word) for word in words]
    if words[0] in ("key", "volume"):
        run(words[0], "create", "one", "--state-directory", str(state))
    printed = json.loads(run(*words, "-o", "json"))
    entry = printed[0] if isinstance(printed, list) else printed
    own = words[0] in ("status", "key", "volume", "token") or words[1] == "presets"
    assert keys == set(entry) if own else keys <= set(entry), entry


def nobody(*words):
    return subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", BINARY, *words], capture_output=True,
                          text=True, timeout=60, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})


@pytest.mark.parametrize("words", [
    ["serve"], ["guard"], ["uninstall", "--yes"], ["key", "create", "x"], ["key", "list"], ["token", "rotate"], ["volume", "list"],
    ["volume", "create", "x"], ["snapshot", "list", "--offline"], ["snapshot", "push", "x", "docker://127.0.0.1:1/x"]])
def test_who_is_not_root_is_told_before_anything_is_made(words, tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    done = nobody(*words, "--state-directory", str(state))
    assert done.returncode == FORBIDDEN and "root" in done.stderr, done.stderr
    assert list(state.iterdir()) == []


@pytest.mark.parametrize("text, advice", [
    ('[local]\naddress_pool = "10.0.0.1/8"', "use 10.0.0.0/8"),
    ("[server]\nport.port = 80", "server.port is a table; use 1 to 65535")])
def test_a_mistake_in_the_configuration_is_told_as_it_is_mended(tmp_path, text, advice):
    file = tmp_path / "server.toml"
    file.write_text(text)
    policy = tmp_path / "policy.json"
    policy.write_text("{}")
    for words in (["key", "list"], ["serve"], ["guard"], ["policy", "check", str(policy)]):
        done = subprocess.run([BINARY, *words, "--config", str(file)], capture_output=True, text=True, timeout=60)
        assert done.returncode == REFUSED and advice in done.stderr, done.stderr


@pytest.mark.parametrize("target, advice", [
    ("10.0.0.1/8", "write 10.0.0.0/8 for the network"), ("https://x.org/path", "write x.org, or x.org:443"),
    ("x.org/path", "a target has no path: write x.org")])
def test_a_target_that_is_none_is_refused_with_how_it_is_written(run, tmp_path, target, advice):
    policy = json.dumps({"egress": [{"action": "allow", "target": target}]})
    assert advice.encode() in run("policy", "check", "-", given=policy.encode(), status=REFUSED)
    assert advice.encode() in run("sandbox", "create", "--allow", target, IMAGE, status=REFUSED)
    for program, variable in [("sallyport-egress", "OPENSANDBOX_EGRESS_RULES")]:
        done = subprocess.run([pathlib.Path(BINARY).with_name(program), "--check"], capture_output=True, text=True, timeout=60,
                              env={variable: policy, "PATH": os.environ["PATH"]})
        assert done.returncode != 0 and advice in done.stdout + done.stderr, done.stdout + done.stderr
