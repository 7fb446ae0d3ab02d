"""What becomes of a sandbox whose memory runs out: the command ends and says why, the sandbox lives."""

import contextlib
import os
import signal
from pathlib import Path

import httpx
import pytest
from opensandbox.models.execd import RunCommandOpts
from support.inside import say
from support.leftovers import name_of
from support.waiting import eventually, patient

LIMIT = "the sandbox's memory limit of 256 MiB was reached"

HOG = "python3 -c 'b = []\nwhile True: b.append(bytearray(1 << 20))'"
STORM = """python3 -c '
import os, time
held = bytearray(b"x" * (1 << 20))
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
    held[::4096] = held[::4096]
'"""


def why(done):
    return " ".join(done.error.traceback) if done.error else ""


@pytest.fixture
def small(create):
    return create(resource={"cpu": "1", "memory": "256Mi"}, entrypoint=["tail", "-f", "/dev/null"])


def alive(sandbox):
    assert sandbox.get_info().status.state == "Running"
    return say(sandbox, "echo alive") == "alive"


@pytest.mark.parametrize("command", [HOG, f"{HOG}; exit $?", f"exec {HOG}"])
def test_a_memory_hog_ends_with_137_and_the_limit(small, command):
    done = small.commands.run(command)
    assert done.exit_code == 137 and LIMIT in why(done), done
    assert alive(small)


def test_a_background_hog_and_one_in_a_session_say_the_same(small):
    started = small.commands.run(HOG, opts=RunCommandOpts(background=True))
    status = eventually(
        lambda: (s := small.commands.get_command_status(started.id)) and not s.running and s, what="the end")
    assert status.exit_code == 137 and LIMIT in status.error
    session = small.commands.create_session()
    done = small.commands.run_in_session(session, HOG)
    assert done.exit_code == 137 and LIMIT in why(done)
    scores = [int(say(small, f"cat /proc/{process}/oom_score_adj")) 
              for process in ("1", "$(pgrep -of ' --serv[e]')", "$(pgrep -o tail)", "self")]
    assert scores == [500, 600, 750, 1000]


@pytest.fixture
def first_process():
    """Ends a sandbox by its first process when the test is over, however: what a storm leaves keeps a machine busy for minutes."""
    found = []

    def remember(sandbox):
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                lines = (folder / "cgroup").read_text()
                if f"/sallyport/{name_of(sandbox.id)}/execd" in lines and "NSpid:" in (status := (folder / "status").read_text()):
                    if status.split("NSpid:")[1].split("\n")[0].split()[-1] == "1":
                        found.append(os.pidfd_open(int(folder.name)))
            except OSError:
                continue
        assert len(found) == 1, "the first process is beside the sandbox's programs"

    yield remember
    for process in found:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        os.close(process)


def processes(sandbox):
    """How many there are. A command's own process is never one too many; what it starts would be, and this starts none."""
    return int(say(sandbox, "cd /sys/fs/cgroup; [ -d pids ] && cd pids; read count < pids.current; echo $count", timeout=60))


def test_execd_answers_in_a_fork_storm_and_ends_it(small, first_process):
    first_process(small)
    endpoint = small.get_endpoint(44772)

    def ping():
        # In milliseconds where execd has processor time of its own. Where it shares a quota with the storm, whole periods of
        # the storm's debt pass between two answers.
        assert httpx.get(f"http://{endpoint.endpoint}/ping", headers=endpoint.headers, timeout=patient(4)).status_code == 200

    started = small.commands.run(STORM, opts=RunCommandOpts(background=True))

    def ended():
        ping()
        status = small.commands.get_command_status(started.id)
        return not status.running and status

    status = eventually(ended, within=120, what="the command's end")
    assert status.exit_code == 137 and LIMIT in status.error
    # The kernel may have chosen the command's first process, and left the others.
    eventually(lambda: ping() or processes(small) < 10, what="the storm's end")
    assert alive(small)


def test_whoever_asks_can_end_what_has_taken_all_processes(create, first_process):
    sandbox = create(resource={"cpu": "1", "memory": "256Mi", "pids": "64"}, entrypoint=["tail", "-f", "/dev/null"])
    first_process(sandbox)
    # Its leader forks once, before there is a storm, and is gone at once: there is no command to interrupt any more.
    group = say(sandbox, "bomb() { bomb | bomb & }; bomb 2>/dev/null & echo $$")
    eventually(lambda: processes(sandbox) >= 60, what="the limit of processes")
    say(sandbox, f"kill -KILL -- -{group}")
    eventually(lambda: sandbox.commands.run(f"kill -0 -- -{group}").exit_code == 1, what="the storm's end")
    assert alive(sandbox)


def test_files_in_memory_do_not_take_all_of_it(small):
    for folder in ("/dev/shm", "/run", "/dev"):
        assert small.commands.run(f"head -c 100000000 /dev/zero > {folder}/file").exit_code != 0
    assert alive(small)


def test_an_entrypoint_that_the_limit_ends_says_so(create):
    sandbox = create(resource={"cpu": "1", "memory": "256Mi"}, entrypoint=[
        "sh", "-c", f"while [ ! -e /tmp/go ]; do sleep 0.05; done; exec {HOG}"])
    sandbox.files.write_file("/tmp/go", "")
    info = eventually(lambda: (i := sandbox.get_info()).status.state != "Running" and i, what="the end")
    assert (info.status.state, info.status.reason) == ("Failed", "OUT_OF_MEMORY")
    assert "signal 9 (SIGKILL); the memory limit of 256 MiB was reached" in info.status.message
    assert info.status.message in sandbox.get_diagnostic_events("runtime").content
