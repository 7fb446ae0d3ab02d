"""What becomes of a sandbox whose memory runs out: the command ends and says why, the sandbox lives."""

import pytest
from opensandbox.models.execd import RunCommandOpts
from support.inside import say
from support.waiting import eventually

LIMIT = "the sandbox's memory limit of 256 MiB was reached"

HOG = "python3 -c 'b = []\nwhile True: b.append(bytearray(1 << 20))'"


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


def test_files_in_memory_do_not_take_all_of_it(small):
    for folder in ("/dev/shm", "/run", "/dev"):
        assert small.commands.run(f"head -c 100000000 /dev/zero > {folder}/file").exit_code != 0
    assert alive(small)


def test_an_entrypoint_that_the_limit_ends_says_so(create):
    sandbox = create(resource={"cpu": "1", "memory": "256Mi"}, entrypoint=[
        "sh", "-c", f"while [ ! -e /tmp/go ]; do sleep 0.05; done; exec {HOG}"])
    sandbox.files.write_file("/tmp/go", "")
    info = eventually(lambda: (i := sandbox.get_info()).status.state != "Running" and i, what="the end")
    assert (info.status.state, info.status.reason) == ("Terminated", "OUT_OF_MEMORY")
    assert "signal 9 (SIGKILL); the memory limit of 256 MiB was reached" in info.status.message
    assert info.status.message in sandbox.get_diagnostic_events("runtime").content
