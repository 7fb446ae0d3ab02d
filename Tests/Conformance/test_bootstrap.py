"""How a sandbox starts and ends: execd as the first process of a PID namespace, with what the reference's bootstrap.sh does
(docs/execd.md#start)."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import threading

import httpx
import pytest
from support.server import EXECD, free_port
from support.waiting import answers, eventually

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# /opt/opensandbox is the test's own folder.
OWN_FOLDER = 'mount --bind "$0" /opt && '
# The machine's own trust stays as it is.
OWN_TRUST = ('mkdir "$0/ssl" && cp -a /etc/ssl/. "$0/ssl" && mount --bind "$0/ssl" /etc/ssl && '
             "mount -t tmpfs tmpfs /usr/local/share/ca-certificates && ")


class Sandbox:
    """execd as PID 1, with a folder of its own for /opt."""

    def __init__(self, folder: pathlib.Path, *program: str, flags=(), name="execd", before="", **environment):
        self.folder, self.port = folder, free_port()
        home = folder / "opt/opensandbox"
        home.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        path = EXECD
        words = [f"--port={self.port}", *flags, *(["--", *program] if program else [])]
        if name == "bootstrap.sh":
            # As it is staged into an image.
            path, words = str(folder / "bootstrap.sh"), list(program)
            if not os.path.exists(path):
                os.symlink(EXECD, path)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
                 OWN_FOLDER + before + 'exec "$@"', folder / "opt",
                 path, *words],
                env={"PATH": PATH, "HOME": str(folder), **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def init(self) -> int:
        """The pid of PID 1, outside."""
        return int(pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def ask(self, method, path, **more):
        return httpx.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=30, **more)

    def up(self):
        eventually(lambda: answers(lambda: self.ask("GET", "/ready") is not None), what="the API")
        return self

    def run(self, command, **more):
        """What a command prints."""
        answer = self.ask("POST", "/command", json={"command": command, **more})
        events = [json.loads(line) for line in answer.text.splitlines() if line]
        return "".join(event["text"] for event in events if event["type"] == "stdout")

    def kill_api(self, **more):
        """The API is found by what it has started, and has ended when its answer has."""
        answers(lambda: self.ask("POST", "/command", json={"command": "kill -9 $PPID"}, **more))

    def end(self):
        return self.process.wait(30)

    def said(self):
        return self.log.read_text()


@pytest.fixture
def start(tmp_path):
    """Starts sandboxes; whatever is left of them ends with the test."""
    made = []

    def start(*program, **more):
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Sandbox(folder, *program, **more))
        return made[-1]

    yield start
    for sandbox in made:
        sandbox.process.kill()
        sandbox.process.wait(30)


def test_the_program_needs_no_library_and_is_below_12_mib():
    assert os.path.getsize(EXECD) < 12 << 20
    headers = subprocess.run(["readelf", "-lW", EXECD], capture_output=True, text=True, check=True).stdout
    assert "LOAD" in headers and "INTERP" not in headers and "DYNAMIC" not in headers


def test_the_sandbox_ends_with_its_program_and_its_code(start):
    assert start("sh", "-c", "exit 7").end() == 7
    assert start("sh", "-c", "kill -9 $$").end() == 137
    assert start("/nonexistent").end() == 127


@pytest.mark.parametrize("arguments, environment, code", [
    (["-c", "exit 3"], {}, 3), (["true"], {"BOOTSTRAP_CMD": "exit 4"}, 4), (["sh", "-c", "exit 5"], {}, 5),
    ([], {"BOOTSTRAP_CMD": 'test -n "$BASH" || exit 1; exit 6'}, 6),
    ([], {"BOOTSTRAP_SHELL": "sh", "BOOTSTRAP_CMD": 'test -z "$BASH_VERSION" && exit 8'}, 8),
    # A shell without a terminal reads the end of its input.
    ([], {}, 0)])
def test_as_bootstrap_sh_it_chooses_the_program_as_the_reference_does(start, arguments, environment, code):
    environment = {"EXECD_ENVS": "/tmp/.env-of-test", **environment}
    try:
        assert start(*arguments, name="bootstrap.sh", **environment).end() == code
    finally:
        pathlib.Path("/tmp/.env-of-test").unlink(missing_ok=True)


def test_what_nobody_waits_for_leaves_no_zombie(start):
    sandbox = start("sleep", "1000").up()
    orphan = sandbox.run("(sleep 1000 >/dev/null & echo $!)")
    parent = f"sed -n 's/^PPid:[^0-9]*//p' /proc/{orphan}/status"
    eventually(lambda: sandbox.run(parent) == "1", what="init as the parent of an orphan")
    sandbox.run(f"kill {orphan}; n=0; while [ $n -lt 200 ]; do (true &); n=$((n + 1)); done")
    states = "cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | cut -c1 | sort -u | tr -d '\\n'"
    eventually(lambda: sandbox.run(f"ls -d /proc/{orphan}") == "", what="the end of the orphan")
    eventually(lambda: "Z" not in sandbox.run(states), what="an end of all zombies")
    assert "R" in sandbox.run(states)


def test_a_script_is_sourced_and_its_exports_reach_the_program_and_commands(start, tmp_path):
    script = tmp_path / "before.sh"
    script.write_text("export CHOSEN='two\nlines'\nPATH=/chosen:$PATH\nlocal_only=1\n")
    sandbox = start("sh", "-c", 'test "$CHOSEN" = "two\nlines" && exec sleep 1000', EXECD_BOOTSTRAP_PRE_SCRIPT=str(script)).up()
    assert sandbox.run('echo "$CHOSEN"; echo "${local_only-none}"; echo "$PATH"') == f"two\nlines\nnone\n/chosen:{PATH}"
    script.write_text("exit 9")
    failed = start("true", EXECD_BOOTSTRAP_PRE_SCRIPT=str(script))
    assert failed.end() == 9 and "before.sh ended with 9" in failed.said()
    assert start("true", EXECD_BOOTSTRAP_PRE_SCRIPT="/nonexistent").end() not in (0, None)


def test_nothing_of_execds_own_reaches_programs(start):
    own = {"EXECD_ACCESS_TOKEN": "secret", "EXECD_API_GRACE_SHUTDOWN": "3s", "EXECD_JUPYTER_IDLE_POLL_INTERVAL": "100ms",
           "JUPYTER_TOKEN": "secret", "JUPYTER_HOST": "http://127.0.0.1:1", "OPENSANDBOX_LIFECYCLE": "{}",
           "BOOTSTRAP_SHELL": "sh", "OPENSANDBOX_ID": "mine"}
    sandbox = start("sh", "-c", "env >/opt/opensandbox/env; exec sleep 1000", **own).up()
    assert sandbox.ask("GET", "/ping").status_code == 401
    headers = {"X-EXECD-ACCESS-TOKEN": "secret"}
    for ask in ({"command": "env"}, {"command": "env", "envs": {"OPENSANDBOX_ID": "another"}}):
        seen = sandbox.ask("POST", "/command", json=ask, headers=headers).text
        assert "secret" not in seen and "EXECD_API" not in seen and "LIFECYCLE" not in seen and "BOOTSTRAP" not in seen
        assert "EXECD_ENVS=/opt/opensandbox/.env" in seen and "OPENSANDBOX_ID=mine" in seen
    given = (sandbox.folder / "opt/opensandbox/env").read_text()
    # The image's entrypoint starts its Jupyter server with these.
    assert "JUPYTER_TOKEN=secret" in given and "EXECD_ACCESS_TOKEN" not in given and "BOOTSTRAP" not in given


def test_variables_that_clients_set_reach_the_next_command(start):
    sandbox = start("sleep", "1000").up()
    file = sandbox.folder / "opt/opensandbox/.env"
    assert file.read_text() == ""
    sandbox.run("""printf "A='one\\ntwo'\\n" >>$EXECD_ENVS""")
    assert sandbox.run('echo "$A"') == "one\ntwo"
    file.write_bytes(b"A=\"never ended\nB=2\n\xff\xfe=x\n")
    assert sandbox.run('echo "${A-none} $B"') == "none 2"
    file.unlink()
    assert sandbox.run("echo fine") == "fine"


@pytest.mark.parametrize("environment, word", [
    ({"EXECD_ACESS_TOKEN": "x"}, "did you mean EXECD_ACCESS_TOKEN?"), ({"EXECD_API_GRACE_SHUTDOWN": "3"}, "is not a duration"),
    ({"EXECD_RUNTIME_INIT": "maybe"}, "is not true or false"), ({"OPENSANDBOX_LIFECYCLE": "{"}, "OPENSANDBOX_LIFECYCLE:"),
    ({"EXECD_ISOLATION_CONFIG": "/proc/version"}, "EXECD_ISOLATION_CONFIG: /proc/version: line 1")])
def test_a_setting_that_cannot_be_meant_starts_nothing(start, environment, word):
    sandbox = start("touch", "/opt/opensandbox/started", **environment)
    assert sandbox.end() in (2, 125) and word in sandbox.said()
    assert not (sandbox.folder / "opt/opensandbox/started").exists()


def test_a_setting_that_nobody_knows_is_told_of(start):
    sandbox = start("true", EXECD_LOG_FIEL="/x")
    assert sandbox.end() == 0 and "did you mean EXECD_LOG_FILE?" in sandbox.said()


def test_an_api_that_cannot_serve_ends_the_sandbox(start):
    holder = start("sleep", "1000").up()
    other = start("sleep", "1000", flags=[f"--port={holder.port}"])
    assert other.end() == 125 and "the API cannot be started" in other.said()


def test_an_api_that_is_killed_is_back(start):
    sandbox = start("sleep", "1000").up()
    before = sandbox.run("echo $PPID")
    sandbox.kill_api()
    eventually(lambda: answers(lambda: sandbox.run("echo $PPID") not in ("", before)), what="another API")


def test_an_init_that_keeps_rights_is_nobodys_to_look_into(start):
    """Its children share its memory until they begin another program, and have given up its rights by then. The kernel says by the
    owner of a process's files whether others may look into it; root's are root's in any case, so this one is another's."""
    as_another = 'cp "$1" /opt/execd && shift && exec setpriv --reuid=65534 --regid=65534 --clear-groups /opt/execd "$@"; '

    def owner(*flags):
        box = start("sleep", "1000", flags=flags, before=as_another).up()
        return os.stat(f"/proc/{box.init}/mem").st_uid

    assert owner() == 65534 and owner("--isolation=/opt/isolation") == 0


def test_streams_end_with_a_last_event_when_the_sandbox_is_told_to_end(start):
    sandbox = start("sleep", "1000").up()
    lines, begun = [], threading.Event()

    def listen():
        with httpx.stream("POST", f"http://127.0.0.1:{sandbox.port}/command", timeout=30,
                          json={"command": "trap '' TERM; echo begun; while :; do sleep 0.1; done"}) as answer:
            for line in answer.iter_lines():
                lines.append(line)
                if "begun" in line:
                    begun.set()

    listener = threading.Thread(target=listen)
    listener.start()
    assert begun.wait(30)
    os.kill(sandbox.init, signal.SIGTERM)
    assert sandbox.end() == 143
    listener.join(30)
    last = json.loads([line for line in lines if line][-1])
    assert last["type"] == "error" and last["error"]["traceback"] == ["execd is stopping"]


def test_a_hook_runs_before_the_program_and_its_failure_keeps_that_from_starting(start):
    def hooked(command, *program, **more):
        hook = json.dumps({"preStart": {"command": ["sh", "-c", command], "timeoutSeconds": 1}})
        return start(*program, flags=["--lifecycle-startup-status-file=/opt/opensandbox/status"], OPENSANDBOX_LIFECYCLE=hook, **more)

    fine = hooked("echo $EXECD_ACCESS_TOKEN >/opt/opensandbox/hook", "test", "-s", "/opt/opensandbox/hook", EXECD_ACCESS_TOKEN="t")
    assert fine.end() == 0
    status = fine.folder / "opt/opensandbox/status"
    assert status.read_text() == "running 1\ndone 0\n" and (fine.folder / "opt/opensandbox/hook").read_text() == "\n"
    failed = hooked("exit 5", "touch", "/opt/opensandbox/started")
    assert failed.end() == 5 and not (failed.folder / "opt/opensandbox/started").exists()
    assert (failed.folder / "opt/opensandbox/status").read_text() == "running 1\ndone 5\n"
    assert hooked("sleep 1000", "true").end() == 124


def test_a_periodic_hook_runs_again_and_again(start):
    hook = {"name": "tick", "schedule": "@every 1s", "command": ["sh", "-c", "echo $A >>/opt/opensandbox/ticks"]}
    sandbox = start("sleep", "1000", OPENSANDBOX_LIFECYCLE=json.dumps({"periodic": [hook]}), A="tick").up()
    ticks = sandbox.folder / "opt/opensandbox/ticks"
    eventually(lambda: ticks.exists() and ticks.read_text().count("tick\n") >= 2, what="two ticks")


def test_a_gated_start_waits_for_its_owner_and_survives_the_api(start):
    sandbox = start("sh", "-c", "echo ${WHO-nobody} >>/opt/opensandbox/who; exec sleep 1000", EXECD_RUNTIME_INIT="1").up()
    who = sandbox.folder / "opt/opensandbox/who"
    assert sandbox.ask("GET", "/ready").status_code == 503 and sandbox.ask("POST", "/command", json={}).status_code == 503
    told = {"sandboxId": "s-1", "generation": 1, "envs": {"WHO": "owner"}, "entrypointPolicy": "restart",
            "accessTokenHash": "sha256:" + hashlib.sha256(b"token").hexdigest()}
    assert sandbox.ask("POST", "/internal/init", json=told).json()["status"] == "initialized"
    eventually(lambda: who.read_text() == "nobody\nowner\n", what="the program, anew")
    assert sandbox.ask("POST", "/internal/init", json=told).status_code == 409
    headers = {"X-EXECD-ACCESS-TOKEN": "token"}
    assert sandbox.ask("GET", "/ping").status_code == 401
    sandbox.kill_api(headers=headers)
    eventually(lambda: answers(lambda: sandbox.ask("GET", "/ready").json() == {
        "initialized": True, "sandboxId": "s-1", "generation": 1}), what="an API that knows")
    assert sandbox.ask("GET", "/ping").status_code == 401
    assert sandbox.ask("GET", "/ping", headers=headers).status_code == 200


def test_requests_are_in_the_log_without_secrets(start):
    sandbox = start("sleep", "1000", EXECD_LOG_FILE="/opt/opensandbox/execd.log", OPENSANDBOX_ID="mine").up()
    sandbox.ask("GET", "/files/info?path=/&token=secret")
    log = sandbox.folder / "opt/opensandbox/execd.log"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(line["target"] == "/files/info?path=/&token=****" and line["status"] == "200" and line["sandbox_id"] == "mine"
               for line in lines)
    assert "secret" not in log.read_text() and log.stat().st_mode & 0o777 == 0o600


def test_the_authority_of_an_intercepting_proxy_is_waited_for_and_trusted(start, tmp_path):
    sandbox = start("sleep", "1000", before=OWN_TRUST, OPENSANDBOX_EGRESS_MITMPROXY_TRANSPARENT="true")
    made = tmp_path / "authority.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=interceptor", "-keyout", "/dev/null", "-out", made], check=True, capture_output=True)
    assert not answers(lambda: sandbox.ask("GET", "/ready") is not None)
    staged = sandbox.folder / "opt/opensandbox/staged"
    staged.write_bytes(made.read_bytes())
    staged.rename(staged.with_name("mitmproxy-ca-cert.pem"))
    sandbox.up()
    assert sandbox.run("echo $NODE_EXTRA_CA_CERTS $REQUESTS_CA_BUNDLE $SSL_CERT_FILE").split() == [
        "/opt/opensandbox/mitmproxy-ca-cert.pem", *["/opt/opensandbox/merged-ca-certificates.pem"] * 2]
    line = made.read_text().splitlines()[1]
    for store in ("$SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"):
        assert sandbox.run(f"grep -cF '{line}' {store}") == "1", store
        assert int(sandbox.run(f"grep -c BEGIN {store}")) > 1, store
    assert line not in pathlib.Path("/etc/ssl/certs/ca-certificates.crt").read_text()


ISOLATION = """
upper_root = "/opt/isolation/changes"
upper_max_bytes = 200_000
diff_max_bytes = 100_000
allowed_writable = ["/opt/allowed"]
[landlock]
enabled = true
"""


def test_the_file_of_settings_decides_what_isolated_sessions_may(start):
    before = ("mkdir -p /opt/allowed /opt/work /opt/isolation/changes && mount -t tmpfs tmpfs /opt/isolation/changes && "
              f"printf %s '{ISOLATION}' >/opt/opensandbox/isolation.toml && ")
    sandbox = start("sleep", "1000", before=before, EXECD_ISOLATION_CONFIG="/opt/opensandbox/isolation.toml").up()
    sessions = "/v1/isolated/session"

    def create(**more):
        return sandbox.ask("POST", sessions, json={"workspace": {"path": "/opt/work"}, **more})

    refused = create(extra_writable=["/mnt"])
    assert refused.status_code == 400 and "/opt/allowed" in refused.text
    made = create(extra_writable=["/opt/allowed"])
    assert made.status_code == 201, made.text
    session = f"{sessions}/{made.json()['session_id']}"
    assert len(sandbox.run("ls /opt/isolation/changes").split()) == 1
    sandbox.ask("POST", f"{session}/run", json={"code": "head -c 300000 /dev/zero >/opt/work/file"})
    too_much = sandbox.ask("GET", f"{session}/diff")
    assert too_much.status_code == 413 and "100000" in too_much.text
    # A measure of what is there counts for a moment: the longer, the more the machine has to do.
    full = eventually(lambda: (answer := create()).status_code == 500 and answer, what="a refusal")
    assert "200000" in full.text
    assert sandbox.ask("POST", f"{session}/directories", json={"/opt/work/more": {}}).status_code == 500
    # What there is can be had, and removed.
    assert sandbox.ask("GET", f"{session}/files/info", params={"path": "/opt/work/file"}).status_code == 200
    assert sandbox.ask("DELETE", session).status_code == 200 and create().status_code == 201
    assert "[landlock] has no effect" in sandbox.said()
