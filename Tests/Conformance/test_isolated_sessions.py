"""Isolated sessions of real sandboxes, by the official SDK (docs/execd.md#isolated-sessions; EXECD contract, section 3)."""

import asyncio
import io
import subprocess
import tarfile
import threading
import uuid
from datetime import timedelta

import httpx
import pytest
from opensandbox import Sandbox
from opensandbox.config import ConnectionConfig
from opensandbox.exceptions import SandboxApiException, SandboxException
from opensandbox.models.filesystem import DirectoryListEntry, MoveEntry, SearchEntry, SetPermissionEntry, WriteEntry
from opensandbox.models.isolated import (
    BindMount, CreateIsolatedSessionRequest, EnvPassthroughSpec, IsolatedOverlaySpec, IsolatedRunOpts, IsolatedWorkspaceSpec)
from support.inside import say
from support.waiting import eventually

ENABLED = {"bootstrap.execd.isolation": "enable"}


@pytest.fixture(scope="module")
def isolating(server):
    """A sandbox with isolated sessions, for all tests of this file."""
    sandbox = server.create(extensions=ENABLED, resource={"cpu": "1", "memory": "512Mi"}, env={
        "PLAIN": "seen", "FOO_API_KEY": "hidden", "AWS_X": "hidden", "JUPYTER_TOKEN": "hidden"})
    yield sandbox
    if server.process.poll() is None:
        with server.api as client:
            client.delete(f"/v1/sandboxes/{sandbox.id}")
    sandbox.close()


@pytest.fixture
def session(isolating):
    """Makes sessions that end with the test."""
    made = []

    def session(path="/workspace", mode="overlay", **more):
        more.setdefault("workspace", IsolatedWorkspaceSpec(path=path, mode=mode) if path else None)
        made.append(isolating.isolation.create(CreateIsolatedSessionRequest(**more)))
        return made[-1]

    yield session
    for one in made:
        try:
            one.delete()
        except SandboxApiException as error:
            assert error.status_code == 404


def run(session, code, **options):
    """What a run printed; it must succeed."""
    done = session.run(code, opts=IsolatedRunOpts(**options))
    text = "".join(message.text for message in done.logs.stdout)
    assert done.exit_code == 0, (code, text, [message.text for message in done.logs.stderr], done.error)
    return text


def test_capabilities_tell_what_works(isolating):
    found = isolating.isolation.capabilities()
    assert found.available and found.setpriv_available and found.userns_available and not found.message, found
    assert found.isolator == "execd" and found.version
    assert found.hardening.cap_drop.state == "active" and found.hardening.init_mode == "pid1"


def test_a_session_is_a_shell_that_keeps_its_state(session, isolating):
    assert isolating.isolation.run_once("echo once", workspace="/workspace").logs.stdout[0].text == "once"
    one = session()
    assert run(one, "cd /usr; export A=1; b=2; f() { echo k; }; pwd") == "/usr"
    assert run(one, "echo $A $b $(f) $(pwd)") == "1 2 k /usr"
    assert run(one, "echo $A $NEW; cd /tmp; f() { echo n; }", envs={"A": "other", "NEW": "it's"}) == "other it's"
    assert run(one, "echo $A ${NEW-gone} $(f) $(pwd)") == "1 gone n /tmp"
    done = one.run("echo out; echo bad >&2; exit_with() { return 3; }; exit_with")
    assert done.exit_code == 3 and done.error.name == "ExitError" and done.error.traceback == []
    assert [message.text for message in done.logs.stdout] == ["out"]
    assert [message.text for message in done.logs.stderr] == ["bad"]
    assert run(one, "echo; echo two; echo") == "\ntwo\n"


def test_what_a_session_sees(session, isolating):
    one = session(share_net=False)
    assert run(one, "hostname") == "sandbox"
    numbers = run(one, "ls /proc | grep -c '^[0-9]'; cat /proc/1/comm").split()
    assert int(numbers[0]) < 8 and numbers[1] == "exe"
    assert run(one, "python3 -c \"import socket; print([name for _, name in socket.if_nameindex()])\"") == "['lo']"
    assert run(one, "touch /usr/x 2>/dev/null || echo refused; ls -d /usr/bin") == "refused\n/usr/bin"
    shared = session(share_net=True)
    assert len(run(shared, "python3 -c \"import socket; print(*[name for _, name in socket.if_nameindex()])\"").split()) > 1


def test_profiles_differ_by_tmp(session, isolating):
    say(isolating, "echo outside > /tmp/seen-by-balanced")
    assert run(session(profile="strict"), "ls -A /tmp; touch /tmp/mine; ls /tmp") == "mine"
    balanced = session(profile="balanced")
    assert run(balanced, "cat /tmp/seen-by-balanced; touch /tmp/of-the-session") == "outside"
    assert say(isolating, "ls /tmp/of-the-session") == "/tmp/of-the-session"


def test_modes_of_folders(session, isolating):
    say(isolating, "mkdir -p /data/rw /data/ro /data/over /data/memory; for f in /data/*; do echo first > $f/file; done")
    one = session(None, overlays=[
        IsolatedOverlaySpec(path="/data/rw", mode="rw"), IsolatedOverlaySpec(path="/data/ro", mode="ro"),
        IsolatedOverlaySpec(path="/data/over"), IsolatedOverlaySpec(path="/data/memory", mode="overlay", persist=False)])
    for name in ("rw", "over", "memory"):
        assert run(one, f"cat /data/{name}/file; echo second > /data/{name}/file; cat /data/{name}/file") == "first\nsecond"
    assert "Read-only file system" in one.run("echo x > /data/ro/file").logs.stderr[0].text
    assert say(isolating, "cat /data/*/file").split() == ["first", "first", "first", "second"]
    one.delete()
    again = session("/data/over")
    assert run(again, "cat /data/over/file") == "first"


def test_nested_folders_shadow(session, isolating):
    say(isolating, "mkdir -p /data/n/.git /data/n/deep; echo kept > /data/n/.git/config; echo a > /data/n/deep/a")
    one = session(None, overlays=[
        IsolatedOverlaySpec(path="/data/n/deep"), IsolatedOverlaySpec(path="/data/n/.git", mode="ro"),
        IsolatedOverlaySpec(path="/data/n", mode="rw")])
    assert run(one, "echo b > /data/n/new; echo c > /data/n/deep/a; echo x > /data/n/.git/config || echo closed") == "closed"
    assert say(isolating, "cat /data/n/new /data/n/deep/a /data/n/.git/config").split() == ["b", "a", "kept"]


def test_a_missing_folder_is_made_for_the_sessions_user(session, isolating):
    one = session("/data/made/for/it", mode="rw", uid=1000)
    assert run(one, "pwd; touch file") == "/data/made/for/it"
    assert say(isolating, "stat -c '%u:%g %a' /data/made/for/it") == "1000:1000 755"


def test_binds_and_extra_writable(session, isolating):
    say(isolating, "mkdir -p /mnt/source /mnt/target /mnt/extra; echo from > /mnt/source/file; ln -sfn /etc /mnt/link")
    one = session(extra_writable=["/mnt/extra"], binds=[BindMount(source="/mnt/source", dest="/mnt/target", readonly=True)])
    assert run(one, "echo more > /mnt/extra/file; cat /mnt/target/file; echo x > /mnt/target/file || echo closed") == "from\nclosed"
    assert say(isolating, "cat /mnt/extra/file") == "more"
    for more in (
            {"extra_writable": ["/etc"]}, {"extra_writable": ["/mnt/link"]}, {"extra_writable": ["/mnt/none"]},
            {"binds": [BindMount(source="/etc", dest="/mnt/target")]}, {"binds": [BindMount(source="/mnt/link", dest="/mnt/target")]},
            {"binds": [BindMount(source="/opt/opensandbox", dest="/mnt/target")]},
            {"binds": [BindMount(source="/mnt/source", dest="/mnt/none")]}):
        with pytest.raises(SandboxApiException) as refused:
            session(**more)
        assert refused.value.status_code == 400, more


def test_variables_pass_as_asked_for(session, isolating):
    names = "env | cut -d= -f1 | sort | tr '\\n' ' '"
    assert "hidden" not in run(session(), "env") and run(session(), "echo $PLAIN") == "seen"
    allowed = run(session(env_passthrough=EnvPassthroughSpec(mode="allow", keys=["AWS_X", "JUPYTER_TOKEN"])), names).split()
    assert set(allowed) <= {"AWS_X", "HOME", "LANG", "PATH", "PWD", "SHLVL", "TERM", "_", "OLDPWD"} and "AWS_X" in allowed
    denied = run(session(env_passthrough=EnvPassthroughSpec(mode="deny", keys=["PLAIN"])), names).split()
    assert "PLAIN" not in denied and "FOO_API_KEY" in denied and "JUPYTER_TOKEN" not in denied
    one = session()
    say(isolating, "echo 'LATE=now' >> $EXECD_ENVS")
    assert run(one, "echo $LATE") == "now"


IDENTITY = "id -u; id -g; id -G; grep -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | cut -f2"


def test_users(session, isolating):
    other = run(session(uid=1000, gid=1000), IDENTITY).split()
    assert other == ["1000", "1000", "1000", "0" * 16, "0" * 16, "0" * 16, "1", "2"]
    named = run(session(uid=1234, gid=1235, uid_mode="userns"), IDENTITY).split()
    assert named == ["1234", "1235", "1235", "0" * 16, "0" * 16, "0" * 16, "1", "2"]
    root = run(session(), IDENTITY).split()
    rights = int(root[3], 16)
    assert root[:3] == ["0", "0", "0"] and rights == sum(1 << bit for bit in (0, 1, 3, 4, 5, 6, 7, 10)), hex(rights)
    say(isolating, "mkdir -p /data/u; chown 0:0 /data/u")
    one = session("/data/u", mode="rw", uid=1234, gid=1235, uid_mode="userns")
    run(one, "touch made")
    assert say(isolating, "stat -c %u:%g /data/u/made") == "0:0"


def test_a_forged_end_ends_nothing(session):
    one = session()
    forged = "printf 'run 1 0\\nrun 2 0\\n__ISOLATED_RUN_END___x 0\\n'; printf 'run 1 0\\n' >&2; " \
        "for fd in /proc/$$/fd/*; do printf 'run 1 0\\nrun 2 0\\n' > $fd; done 2>/dev/null; sleep 0.3; echo last"
    assert run(one, forged).endswith("last")
    assert run(one, "echo next") == "next"


STUBBORN = {
    "a program that ignores INT": "python3 -c 'import signal, time; signal.signal(2, signal.SIG_IGN); print(1, flush=True); time.sleep(60)'",
    "a list that would go on": "sleep 60; echo never",
    "a loop of the shell alone": "while :; do :; done",
}


@pytest.mark.parametrize("code", ["trap '' INT; while :; do :; done", "f() { sleep 60; }; while :; do f; done"])
def test_a_shell_that_no_interrupt_ends_makes_room_for_another(session, code):
    one = session(uid=1000)
    run(one, "kept=no; echo file > /tmp/file")
    done = one.run(code, opts=IsolatedRunOpts(timeout_seconds=1))
    assert done.exit_code == -1
    assert run(one, "echo ${kept-gone} $(cat /tmp/file) $(id -u)") == "gone file 1000"
    assert one.run("sleep 60", opts=IsolatedRunOpts(timeout_seconds=1)).exit_code == -1
    assert run(one, "echo again") == "again"


def test_what_a_shell_has_not_read_is_not_run_by_its_successor(session, isolating):
    one = session("/data/unread", mode="rw")
    run(one, "sleep 98765 &")
    stopped = say(isolating, "kill -STOP $(ps -o ppid= -p $(pgrep -f '[s]leep 98765')) && echo stopped")
    assert stopped == "stopped"
    # A small one fits into the shell's socket, of a large one most still waits outside.
    done = one.run(f": {'x' * 1_000_000}; touch /data/unread/large", opts=IsolatedRunOpts(timeout_seconds=1))
    assert done.exit_code == -1
    assert run(one, "echo next; ls /data/unread") == "next"


@pytest.mark.parametrize("what", STUBBORN)
def test_a_time_limit_ends_a_run_and_not_the_session(session, what):
    one = session()
    run(one, "kept=yes")
    done = one.run(STUBBORN[what], opts=IsolatedRunOpts(timeout_seconds=1))
    assert done.exit_code == -1 and "time limit" in done.error.traceback[0]
    assert "never" not in "".join(message.text for message in done.logs.stdout)
    assert run(one, "echo $kept; pgrep -c sleep || true") == "yes\n0"


def test_a_client_that_leaves_ends_its_run(session, isolating):
    one = session()
    url = one._adapter._get_url(f"/v1/isolated/session/{one.session_id}/run")
    with httpx.Client(headers=one._adapter._httpx_client.headers) as client:
        with client.stream("POST", url, json={"code": "echo begun; sleep 60"}) as answer:
            for line in answer.iter_lines():
                if "begun" in line:
                    break
    assert run(one, "pgrep -c sleep || true") == "0"


def test_two_runs_at_once_are_one_after_the_other(session):
    one, results = session(), []
    threads = [threading.Thread(target=lambda: results.append(run(one, "for i in 1 2 3; do echo $i >> /tmp/log; sleep 0.1; done")))
               for _ in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert run(one, "tr -d '\\n' < /tmp/log") == "123" * 3


def test_a_shell_that_exits_ends_its_session(session, isolating):
    one = session()
    done = one.run("sleep 1000 & exit 4")
    assert done.error.value == "session process has exited" and done.exit_code is None
    assert one.get().status == "dead"
    for attempt in (lambda: one.run("true"), lambda: one.files.read_file("x")):
        with pytest.raises(SandboxApiException) as gone:
            attempt()
        assert gone.value.status_code == 404
    one.delete()
    with pytest.raises(SandboxApiException) as gone:
        one.get()
    assert gone.value.status_code == 404
    assert say(isolating, "pgrep -c -x sleep || true") == "0"


def test_sessions_are_listed_attached_and_deleted(session, isolating):
    one = session("/workspace", mode="rw", profile="balanced", share_net=False, idle_timeout_seconds=600)
    two = isolating.isolation.attach(one.session_id)
    assert (two.info.profile, two.info.workspace.mode, two.info.share_net, two.info.idle_timeout_seconds) == ("balanced", "rw", False, 600)
    run(one, "here=1")
    assert run(two, "echo $here") == "1"
    state = one.get()
    assert state.status == "active" and 0 < state.idle_remaining_seconds <= 600 and state.uid_mode == "setpriv"
    assert one.session_id in [item.session_id for item in isolating.isolation.list()]
    assert session().get().idle_remaining_seconds is None
    one.delete()
    assert one.session_id not in [item.session_id for item in isolating.isolation.list()]
    with pytest.raises(SandboxApiException) as gone:
        one.delete()
    assert gone.value.status_code == 404
    assert uuid.UUID(one.session_id)


def test_an_idle_session_goes_when_nothing_runs(session):
    idle, busy, kept = session(mode="rw", idle_timeout_seconds=1), session(mode="rw", idle_timeout_seconds=1), session()
    busy.run_background("sleep 30")

    def gone():
        try:
            idle.get()
        except SandboxApiException as error:
            return error.status_code == 404

    assert eventually(gone, 30)
    assert busy.get().status == kept.get().status == "active"


def test_runs_in_the_background(session):
    one = session("/workspace", mode="rw")
    run(one, "greeting=hello; f() { echo from f; }")
    started = one.run_background("echo $greeting $GIVEN; f; until [ -e /tmp/go ]; do sleep 0.05; done; echo äöü; exit 5", opts=IsolatedRunOpts(envs={"GIVEN": "it"}))
    assert eventually(lambda: one.run_logs(started.run_id).text == "hello it\nfrom f\n", 10)
    status = one.run_status(started.run_id)
    assert status.running and status.exit_code is None and status.finished_at is None
    # Others go on meanwhile, and interrupts of theirs are not its.
    assert one.run("sleep 60", opts=IsolatedRunOpts(timeout_seconds=1)).exit_code == -1
    cursor = one.run_logs(started.run_id).cursor
    run(one, "touch /tmp/go; echo ${GIVEN-none}")
    assert eventually(lambda: not one.run_status(started.run_id).running, 10)
    status = one.run_status(started.run_id)
    assert status.exit_code == 5 and status.finished_at and not status.error
    assert one.run_logs(started.run_id, cursor).text == "äöü\n"
    assert one.run_logs(started.run_id, 10 ** 9).text == ""
    assert run(one, f"cat /workspace/.execd/background-runs/{started.run_id}.code") == "5"
    with pytest.raises(SandboxApiException) as unknown:
        session().run_status(started.run_id)
    assert unknown.value.status_code == 404


def test_what_runs_in_the_background_needs_a_folder_that_stays(session):
    for more in ({"mode": "ro"}, {"path": None, "overlays": [IsolatedOverlaySpec(path="/workspace", persist=False)]},
                 {"path": "/usr", "mode": "rw", "uid": 1000}):
        with pytest.raises(SandboxApiException) as refused:
            session(**more).run_background("true")
        assert refused.value.status_code == 400, more


def test_files_are_the_sessions_own_at_once(session, isolating):
    say(isolating, "echo below > /workspace/below; mkdir -p /workspace/folder; echo gone > /workspace/folder/gone")
    one = session(uid=1000, gid=1000)
    files = one.files
    say(isolating, "chown -R 1000:1000 /workspace")
    one = session(uid=1000, gid=1000)
    files = one.files
    files.write_file("new/of-api.txt", "from the API", mode=640)
    assert run(one, "cat new/of-api.txt; stat -c '%u:%g %a' new/of-api.txt") == "from the API1000:1000 640"
    run(one, "echo from the shell > of-shell; rm -r folder; echo changed > below")
    assert files.read_file("/workspace/of-shell") == "from the shell\n" and files.read_file("below") == "changed\n"
    names = {entry.path for entry in files.list_directory(DirectoryListEntry(path="/workspace", depth=2))}
    assert {"/workspace/below", "/workspace/new/of-api.txt", "/workspace/of-shell"} <= names and "/workspace/folder" not in names
    files.delete_files(["below"])
    assert run(one, "ls below 2>/dev/null || echo gone") == "gone"
    files.move_files([MoveEntry(src="of-shell", dest="moved")])
    files.set_permissions([SetPermissionEntry(path="moved", mode=600)])
    assert run(one, "stat -c %a moved") == "600"
    assert [entry.path for entry in files.search(SearchEntry(path="/workspace", pattern="mov*"))] == ["/workspace/moved"]
    info = files.get_file_info(["moved"])["moved"]
    assert info.owner and info.group and info.size == 15 and info.created_at
    files.create_directories([WriteEntry(path="made/here", mode=755)])
    files.delete_directories(["new"])
    assert run(one, "ls") == "made\nmoved"
    assert say(isolating, "cat /workspace/below /workspace/folder/gone") == "below\ngone"


def test_files_stay_in_the_sessions_folders(session, isolating):
    say(isolating, "mkdir -p /data/ro; echo fixed > /data/ro/file; echo secret > /data/outside")
    one = session(None, overlays=[IsolatedOverlaySpec(path="/workspace"), IsolatedOverlaySpec(path="/data/ro", mode="ro")])
    run(one, "ln -s /data/outside out; ln -s ../data up; ln -s / root; mkfifo pipe")
    for path in ("/etc/passwd", "../data/outside", "/workspace/../etc/passwd", "out", "up/outside", "root/etc/passwd",
                 "/opt/opensandbox/token", "/proc/1/environ", "/workspacex", "pipe"):
        for call in (one.files.read_file, lambda path: one.files.write_file(path, "x"), lambda path: one.files.delete_files([path])):
            if path == "pipe" and call != one.files.read_file:
                continue
            with pytest.raises(SandboxApiException) as refused:
                call(path)
            assert refused.value.status_code == 400, path
    for call in (lambda: one.files.write_file("/data/ro/file", "x"), lambda: one.files.delete_files(["/data/ro/file"])):
        with pytest.raises(SandboxApiException) as refused:
            call()
        assert refused.value.status_code == 400
    assert one.files.read_file("/data/ro/file") == "fixed\n"
    assert say(isolating, "cat /data/outside") == "secret"


ATTACKS = {
    "a namespace": "unshare -U true", "a network": "unshare -n true", "mounts": "mount -t tmpfs none /tmp",
    "a new root": "chroot / true", "another root's rights": "python3 -c 'import os; os.open(\"/proc/1/mem\", os.O_RDWR)'",
    "execd's memory": "head -c 1 /proc/1/environ", "the first process's files": "readlink /proc/1/fd/3",
    "the kernel's files": "head -c 1 /proc/kcore", "the kernel's settings": "echo 1 > /proc/sys/kernel/panic",
    "execd's token": "cat /opt/opensandbox/token", "other sessions' files": "ls /var/lib/execd/isolation/*/upper",
    "devices": "mknod /workspace/disk b 8 0", "the first process": "kill -9 1; sleep 0.2; kill -0 1 && false",
    "its runner": "echo x > /var/lib/execd/isolation/run",
    "a debugger": "python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(16, 1, 0, 0) and 1)'",
}


@pytest.mark.parametrize("uid", [0, 1000])
def test_root_in_a_session_gains_nothing(session, uid):
    one = session(uid=uid)
    for what, attack in ATTACKS.items():
        done = one.run(attack)
        assert done.exit_code not in (0, None), (what, [message.text for message in done.logs.stdout])
    assert run(one, "echo still here") == "still here"


def test_sessions_do_not_see_each_other(session, isolating):
    one, two = session(), session()
    run(one, "echo mine > secret; sleep 1000 &")
    assert run(two, "ls secret 2>/dev/null; pgrep -c sleep || true") == "0"
    assert say(isolating, "ls /workspace/secret 2>/dev/null || echo none") == "none"


def test_a_link_of_one_session_is_no_way_for_another(session, isolating):
    say(isolating, "mkdir -p /workspace && chmod 777 /workspace")
    run(session("/workspace", mode="rw"), "ln -sfn /opt/opensandbox tokens; ln -sfn /var/lib/execd layers; ln -sfn /opt up; ln -sfn / all; ln -sfn /proc kernel")
    for name in ("tokens", "layers", "up", "all", "kernel"):
        for mode in ("rw", "ro", "overlay"):
            with pytest.raises(SandboxApiException) as refused:
                session(f"/workspace/{name}", mode=mode)
            assert refused.value.status_code == 400, (name, mode)
    say(isolating, "rm -f /workspace/tokens /workspace/layers /workspace/up /workspace/all /workspace/kernel")


def test_commands_have_none_of_what_builds_sessions(isolating):
    """Root in the sandbox has no more rights than root in one without isolated sessions, and cannot get execd's."""
    bits = say(isolating, "grep CapBnd /proc/self/status | cut -f2")
    assert not int(bits, 16) & (1 << 21 | 1 << 12), bits
    for attack in ("unshare -m true", "unshare -U true", "mount -t tmpfs none /mnt", "hostname other", "nsenter -t 1 -m true"):
        assert isolating.commands.run(attack).exit_code != 0, attack
    look = "for p in /proc/[0-9]*; do if grep -q [s]ession-starter $p/cmdline 2>/dev/null; then " \
        "head -c 1 $p/environ >/dev/null 2>&1 && echo read; readlink $p/fd/3 >/dev/null 2>&1 && echo linked; fi; done; " \
        "head -c 1 /proc/1/environ >/dev/null 2>&1 && echo init; true"
    assert say(isolating, look) == ""


def test_a_starter_that_is_killed_is_started_again(session, isolating):
    one = session()
    killed = say(isolating, "pkill -KILL -f [s]ession-starter && echo killed")
    assert killed == "killed" and run(one, "echo lives") == "lives"
    assert eventually(lambda: run(session(), "echo again") == "again", 10)


def test_no_session_outlives_its_server(create):
    sandbox = create(extensions=ENABLED)
    one = sandbox.isolation.create(CreateIsolatedSessionRequest(workspace=IsolatedWorkspaceSpec(path="/workspace")))
    run(one, "echo changed > file; sleep 1000 &")
    with pytest.raises(SandboxException):
        sandbox.commands.run("pkill -KILL -f -- '[-]-serve'")

    def gone():
        try:
            return say(sandbox, "pgrep -c -x sleep || true; find /var/lib/execd/isolation -mindepth 1 | wc -l").split() == ["0", "0"]
        except SandboxException:
            return False

    assert eventually(gone, 20)
    with pytest.raises(SandboxApiException) as lost:
        one.get()
    assert lost.value.status_code == 404


def test_without_the_extension_there_are_none(sandbox):
    found = sandbox.isolation.capabilities()
    assert not found.available and "bootstrap.execd.isolation=enable" in found.message
    with pytest.raises(SandboxApiException) as refused:
        sandbox.isolation.create(CreateIsolatedSessionRequest(workspace=IsolatedWorkspaceSpec(path="/workspace")))
    assert refused.value.status_code == 503 and refused.value.error.code == "SERVICE_UNAVAILABLE"
    assert say(sandbox, "pgrep -f [s]ession-starter || echo none") == "none"


def archive(isolating, one):
    """The diff of a session, as the SDK has no call for it."""
    adapter = one._adapter
    return adapter._httpx_client.get(adapter._get_url(f"/v1/isolated/session/{one.session_id}/diff"))


def commit(one, **body):
    adapter = one._adapter
    return adapter._httpx_client.post(adapter._get_url(f"/v1/isolated/session/{one.session_id}/commit"), json=body)


CHANGES = ("echo new > new; mkdir -p made/deep; echo x > made/deep/x; ln -s new link; rm gone; rm -r folder; mkdir folder; "
           "echo again > folder/again; chmod 640 kept; ln -s /etc/passwd out")


def test_changes_can_be_had_as_a_layer_and_committed(session, isolating):
    say(isolating, "rm -rf /data/d; mkdir -p /data/d/folder; cd /data/d; echo 1 > kept; echo 2 > gone; echo 3 > folder/old; echo 4 > same")
    one = session("/data/d", uid=0)
    run(one, CHANGES)
    answer = archive(isolating, one)
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/gzip"
    layer = tarfile.open(fileobj=io.BytesIO(answer.content))
    names = {member.name: member for member in layer.getmembers()}
    assert {"data/d/new", "data/d/made/deep/x", "data/d/link", "data/d/.wh.gone", "data/d/folder/again",
            "data/d/folder/.wh..wh..opq", "data/d/kept"} <= set(names), names
    assert "data/d/same" not in names and names["data/d/link"].linkname == "new" and names["data/d/kept"].mode == 0o640
    assert layer.extractfile("data/d/made/deep/x").read() == b"x\n"
    assert say(isolating, "cat /data/d/gone") == "2"
    done = commit(one)
    assert done.status_code == 200, done.text
    assert done.json()["deleted"] >= 2
    seen = "cd /data/d; find . | sort | tr '\\n' ' '; cat new folder/again; stat -c %a kept; readlink link out"
    assert say(isolating, seen) == run(one, seen) == (
        ". ./folder ./folder/again ./kept ./link ./made ./made/deep ./made/deep/x ./new ./out ./same new\nagain\n640\nnew\n/etc/passwd")
    assert isolating.isolation.capabilities().diff_supported and isolating.isolation.capabilities().commit_supported


def test_what_cannot_be_had_or_committed_is_said(session, isolating):
    one = session("/workspace", mode="rw")
    assert archive(isolating, one).status_code == 404 and commit(one).status_code == 404
    one = session()
    for body in ({"strategy": "other"}, {"reset_upper_after": True}, {"strategy": 1}):
        assert commit(one, **body).status_code == 400, body


def test_a_commit_follows_no_link_out_of_its_folder(session, isolating):
    say(isolating, "rm -rf /data/c; mkdir -p /data/c/sub /data/elsewhere; echo kept > /data/elsewhere/file; echo in > /data/c/sub/file")
    one = session("/data/c")
    run(one, "echo changed > sub/file; rm -f /data/c/none")
    # What was a folder below is a link when it is committed.
    say(isolating, "rm -r /data/c/sub; ln -s /data/elsewhere /data/c/sub")
    assert commit(one).status_code == 200
    assert say(isolating, "cat /data/elsewhere/file /data/c/sub/file; test -L /data/c/sub && echo link; true") == "kept\nchanged"


def test_a_link_above_a_folder_is_not_followed(session, isolating):
    """Not to make folders, to mount or to commit: each would be done elsewhere, with the rights of the sandbox's root."""
    say(isolating, "rm -rf /data/l /outside; mkdir -p /data/l/x/in /outside; echo kept > /outside/kept")
    run(session("/data/l", mode="rw"), "ln -s /outside /data/l/link")
    for mode in ("rw", "overlay"):
        for path in ("/data/l/link", "/data/l/link/sub"):
            with pytest.raises(SandboxApiException) as refused:
                session(path, mode=mode)
            assert refused.value.status_code == 400
    one = session("/data/l/x/in")
    run(one, "echo new > new; rm -f kept; touch kept")
    say(isolating, "mv /data/l/x /data/l/y; mkdir /data/l/x; ln -s /outside /data/l/x/in")
    assert commit(one).status_code >= 400
    assert say(isolating, "ls /outside; cat /outside/kept").split() == ["kept", "kept"]


def test_no_name_and_no_depth_keeps_a_session(session):
    one = session("/workspace")
    run(one, "touch $'\\xff' $'a\\xc3\\x28'; for i in $(seq 600); do mkdir d && cd d || exit 1; done; touch end")
    one.delete()


def test_a_crash_that_root_makes_up_starts_nothing_with_the_first_processs_rights(create):
    """Swift's runtime starts a program when a signal says that the process has crashed; the environment says which."""
    sandbox = create(extensions=ENABLED, env={"SWIFT_BACKTRACE": "enable=yes,swift-backtrace=/tmp/evil"})
    say(sandbox, "printf '#!/bin/sh\\ngrep CapEff /proc/self/status > /tmp/caught\\n' > /tmp/evil; chmod 755 /tmp/evil")
    for name in ("SEGV", "ABRT", "BUS", "FPE", "ILL", "TRAP"):
        sandbox.commands.run(f"kill -{name} 1; sleep 0.1")
    assert say(sandbox, "ls /tmp/caught 2>&1 | grep -c 'No such'") == "1" and say(sandbox, "echo alive") == "alive"


def test_the_asynchronous_client_does_the_same(isolating, server):
    async def all_of_it():
        config = ConnectionConfig(api_key=server.key, domain=f"127.0.0.1:{server.port}", disable_metrics=True)
        sandbox = await Sandbox.connect(isolating.id, connection_config=config)
        async with sandbox.isolation.session(CreateIsolatedSessionRequest(workspace=IsolatedWorkspaceSpec(path="/workspace"))) as one:
            await one.files.write_file("file", "text")
            done = await one.run("cat file")
            assert "".join(message.text for message in done.logs.stdout) == "text" and done.exit_code == 0
        await sandbox.close()

    asyncio.run(all_of_it())
