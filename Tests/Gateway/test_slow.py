"""I5: slowhttptest's four attacks at once against one gateway, while others are served (limits: docs/ingress.md)."""

import re
import subprocess
import threading
import time

import httpx
import pytest
from separate import SeparateGateway
from support.waiting import eventually

CONNECTIONS = 150
SECONDS = 14
ATTACKS = {
    # Headers, bodies and answers one small piece after another; ranges without end.
    "headers": ["-H", "-i", "1", "-x", "8"],
    "bodies": ["-B", "-i", "1", "-x", "8", "-s", "8192"],
    "ranges": ["-R", "-t", "HEAD", "-a", "10", "-b", "3000"],
    "reading": ["-X", "-w", "10", "-y", "20", "-n", "3", "-z", "16", "-k", "3"],
}


@pytest.fixture(scope="module")
def gateway(server, doors):
    """A gateway with time-outs that a short attack meets; the defaults are 10 s and 60 s."""
    gateway = SeparateGateway(server, "uri", head_timeout_seconds=4, body_timeout_seconds=4)
    try:
        yield gateway.start()
    finally:
        assert gateway.stop() == 0


class Prober(threading.Thread):
    """Somebody else's requests, one after another, each on a new connection and on a kept one."""

    def __init__(self, url):
        super().__init__()
        self.url, self.done, self.good, self.failures = url, threading.Event(), 0, []

    def run(self):
        with httpx.Client(timeout=10) as kept:
            while not self.done.is_set():
                for get in (kept.get, httpx.get):
                    try:
                        assert get(self.url).status_code == 200
                        self.good += 1
                    except (httpx.HTTPError, AssertionError) as error:
                        self.failures.append(repr(error))
                # Not an attack of its own.
                time.sleep(0.02)


def attack(name, url, folder):
    log = open(folder / f"slow-{name}", "w+")
    words = ["slowhttptest", *ATTACKS[name], "-c", str(CONNECTIONS), "-r", "100", "-l", str(SECONDS), "-p", "5", "-u", url, "-v", "1"]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder), log


def established(port):
    """Connections to this port that the gateway still has."""
    text = subprocess.run(["ss", "-Htn", "state", "established", f"sport = :{port}"], capture_output=True, text=True).stdout
    return len(text.splitlines())


def test_slow_clients_are_cut_and_others_are_served(doors, gateway, tmp_path):
    recorder = doors.recorder()
    recorder.forget()
    url = f"http://127.0.0.1:{gateway.port}/{doors.sandbox.id}/{recorder.port}/x"
    prober = Prober(url)
    prober.start()
    try:
        running = {name: attack(name, url, tmp_path) for name in ATTACKS}
        for process, _ in running.values():
            process.wait(timeout=SECONDS + 60)
    finally:
        prober.done.set()
        prober.join()
    assert not prober.failures and prober.good > 50
    reports = {}
    for name, (_, log) in running.items():
        log.seek(0)
        reports[name] = re.sub(r"\x1b\[[0-9;]*m", "", log.read())
        log.close()
    for name in ATTACKS:
        assert "Exit status" in reports[name], reports[name][-800:]
        # What the attacker sees of the service, by probes of its own.
        assert "service available:   NO" not in reports[name], name
    # The heads' time is up for the one, the bodies' for the other: none of them is held at the end, though each client
    # would have sent more for as long as the test lasts.
    for name in ("headers", "bodies"):
        assert "Exit status: No open connections left" in reports[name], reports[name][-800:]
    # An attack that has ended leaves nothing behind.
    eventually(lambda: established(gateway.port) == 0, what="the end of all connections")
    # No request of theirs was completed.
    assert not [request for request in recorder.requests if request.complete and request.method == b"POST"]
