"""The processes of one `sallyport serve`: which they are, what they may do, and what they serve."""

import contextlib
import os
import pathlib
import signal

from .server import AllInOneServer
from .waiting import answers

PARTS = ("guard", "server", "gateway")


@contextlib.contextmanager
def apart(world):
    """A server of several processes, however the other tests run theirs. A trap ends one without Swift's report of it."""
    server = AllInOneServer(world)
    server.words = ()
    try:
        yield server.start(SWIFT_BACKTRACE="enable=no")
    finally:
        server.tear_down()


def part(server, name):
    """The process id of a part; None where it does not run now."""
    return next((pid for pid in children(server.process.pid) if words(pid)[1:] == ["process", name]), None)


def children(pid):
    text = answers(lambda: pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(), OSError)
    return [int(child) for child in (text or "").split()]


def words(pid):
    """A process's arguments."""
    data = answers(lambda: pathlib.Path(f"/proc/{pid}/cmdline").read_bytes(), OSError)
    return [word.decode() for word in (data or b"").split(b"\0") if word]


def status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def trap(pid, number=signal.SIGILL):
    """Ends a process as a fault of its own would."""
    os.kill(pid, number)


def is_gone(pid):
    state = answers(lambda: status(pid)["State"], OSError)
    return state is None or state.startswith(("Z", "X"))
