"""Swift's own pool of threads looks its threads up in /proc while tasks wait, and ends the process where it can open nothing
there: because no descriptor is left, because a filter forbids it, or because there is no /proc. Ours have another pool.
"""

import resource
import selectors
import socket
import time

import pytest
from support.parts import apart, is_gone, part
from support.waiting import eventually

# Swift's pool looks once a second.
SECONDS = 3.5
CONNECTIONS = 48
ASKED_AT_ONCE = 32


@pytest.fixture(scope="module", name="apart")
def three_processes(world):
    """Guard, server and gateway, each a process of its own."""
    with apart(world) as server:
        yield server


def listener(server, name):
    """Where a part answers requests with a task of their own, and what is asked there."""
    run = server.folder / "run"
    return {
        "guard": (str(run / "egress-admin.sock"), "/metrics"),
        "server": (("127.0.0.1", server.port), "/health"),
        "gateway": (str(run / "gateway-metrics.sock"), "/metrics"),
    }[name]


class Crowd:
    """Connections, each with many requests that wait."""

    def __init__(self, address, path):
        family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
        self.requests = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * ASKED_AT_ONCE
        self.selector = selectors.DefaultSelector()
        self.answers = 0
        for _ in range(CONNECTIONS):
            connection = socket.socket(family)
            connection.connect(address)
            # One request and its answer: the connection has been taken.
            connection.sendall(self.requests[:len(self.requests) // ASKED_AT_ONCE])
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def ask(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, events in self.selector.select(0.1):
                try:
                    if events & selectors.EVENT_READ:
                        self.answers += key.fileobj.recv(1 << 18).count(b"HTTP/1.1 200")
                    if events & selectors.EVENT_WRITE:
                        key.fileobj.send(self.requests)
                except BlockingIOError:
                    pass

    def close(self):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()


# Not the gateway's: its limits are its user's, and its filter is the test below.
@pytest.mark.parametrize("name", ["guard", "server"])
def test_a_process_that_can_open_nothing_lives_on_however_many_tasks_wait(apart, name):
    pid = part(apart, name)
    crowd = Crowd(*listener(apart, name))
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        crowd.ask(SECONDS)
        assert not is_gone(pid) and part(apart, name) == pid
        assert crowd.answers > 100
    finally:
        crowd.close()
        if not is_gone(pid):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    eventually(apart._is_up, what="health")


def test_a_gateway_whose_filter_opens_no_file_lives_on_however_many_tasks_wait(apart):
    pid = part(apart, "gateway")
    crowd = Crowd(*listener(apart, "gateway"))
    try:
        crowd.ask(SECONDS)
        assert not is_gone(pid) and part(apart, "gateway") == pid
    finally:
        crowd.close()
