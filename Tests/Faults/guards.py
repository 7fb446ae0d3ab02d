"""Guards that are killed and hindered, and a watch over what leaves their sandboxes meanwhile."""

import ctypes
import http.client
import json
import os
import pathlib
import socket
import struct
import subprocess
import threading
import time

from arena import BARRIER, BARRIER_PORT, ONE, Arena, in_namespace
from support.server import BACKTRACE, BINARY
from support.waiting import eventually
from support.world import run

SIDECAR = os.environ.get("SALLYPORT_SIDECAR", str(pathlib.Path(BINARY).with_name("sallyport-egress")))
# All of it is the outside's: any of these can be probed.
NETWORK = "203.0.113.0/24"
PROBED = [f"203.0.113.{number}" for number in range(1, 13)]
# No policy of a test allows it.
NEVER = "203.0.113.200"
PORT = 9
BARRIER_RULE = {"action": "allow", "target": BARRIER, "ports": [BARRIER_PORT], "protocol": "udp"}


class FaultyArena(Arena):
    """An arena whose guard is killed and started again; `disk` bytes of a file system of its own hold its state."""

    def __init__(self, disk=None, settings="", environment=None):
        self.disk, self.settings, self.environment = disk, settings, environment or {}
        super().__init__()
        run("ip", "-n", self.outside, "route", "add", "local", NETWORK, "dev", "lo")

    @property
    def state(self):
        return self.folder / "state"

    def _start_guard(self):
        if self.disk and not os.path.ismount(self.state):
            self.state.mkdir()
            run("mount", "-t", "tmpfs", "-o", f"size={self.disk},mode=700", "tmpfs", str(self.state))
        super()._start_guard()

    def kill(self):
        self.guard.kill()
        self.guard.wait()

    def start(self):
        self.admin.close()
        self._start_guard()

    def close(self):
        super().close()
        if os.path.ismount(self.state):
            run("umount", str(self.state))
            super().close()


class Sidecar:
    """`sallyport-egress` in the namespace of an attacker, asked from the outside as a host would ask."""

    def __init__(self, arena, environment=None):
        self.arena = arena
        self.attacker = arena.attacker(guarded=False)
        self.policy_file = arena.folder / "sidecar/policy.json"
        self.policy_file.parent.mkdir()
        self.environment = {
            "OPENSANDBOX_EGRESS_DNS_UPSTREAM": ONE, "OPENSANDBOX_EGRESS_TOKEN": "token-of-the-test",
            "OPENSANDBOX_EGRESS_POLICY_FILE": str(self.policy_file), **(environment or {})}
        self.log = arena.folder / "sidecar/log"
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.attacker.namespace}", SIDECAR], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env={**os.environ, **BACKTRACE, **self.environment}, start_new_session=True)

        def serves():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                return self.request("GET", "/healthz")[0] == 200
            except OSError:
                return False

        eventually(serves, within=30, what="the sidecar")

    def request(self, method, path="/policy", body=None):
        """The status and the text. Raises OSError or HTTPException where there is no answer."""
        address = (self.attacker.address, 18080)
        client = http.client.HTTPConnection(*address)
        client.sock = in_namespace(self.arena.outside, lambda: socket.create_connection(address, 15))
        try:
            client.request(method, path, None if body is None else json.dumps(body), {
                "OPENSANDBOX-EGRESS-AUTH": "token-of-the-test"})
            answer = client.getresponse()
            return answer.status, answer.read().decode()
        finally:
            client.close()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.kill()


class Watch:
    """Sends numbered datagrams to addresses all the time, each from a socket of its own, and keeps of each whether it had
    to arrive: a datagram counts where what is known of its address was the same before and after it was sent."""

    def __init__(self, attacker, known):
        self.attacker = attacker
        # Address -> (open?, anything new). None for open: unknown.
        self.known = {address: (value, object()) for address, value in known.items()}
        self.must, self.never = {}, {}
        # From when to when a guard took over. The kernel may drop a packet while it exchanges the table: it takes the
        # rules of the old chains, which drop by default, before the chains.
        self.exchanges = []
        # What happened when, for whoever has to find out.
        self.story = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def set(self, address, is_open):
        self.known[address] = (is_open, object())
        self.tell(f"{address} {({True: 'open', False: 'closed'}).get(is_open, 'unknown')}")

    def tell(self, what):
        self.story.append((time.monotonic(), what))

    def _send(self):
        descriptor = os.open(f"/run/netns/{self.attacker.namespace}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)
        number = 0
        while not self._ends.is_set():
            for address, before in list(self.known.items()):
                number += 1
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                    try:
                        datagrams.sendto(struct.pack("!Q", number), (address, PORT))
                    except OSError:
                        pass
                if self.known[address] is before and before[0] is not None:
                    (self.must if before[0] else self.never)[number] = (address, time.monotonic())
            time.sleep(0.002)

    def end(self):
        """Fails where a datagram arrived that must not, or one is missing that had to arrive."""
        self._ends.set()
        self._thread.join()
        arrived = {
            struct.unpack("!Q", packet.payload[8:16])[0]: packet.target for packet in self.attacker.arrived()
            if packet.target in self.known and packet.port == PORT}
        wrong = arrived.keys() & self.never.keys()
        assert not wrong, "arrived: " + self._around(self.never, wrong)
        missing = self._closed(self.must.keys() - arrived.keys())
        assert not missing, "missing: " + self._around(self.must, missing)
        assert self.must and self.never, "nothing was watched"

    def _closed(self, missing):
        """Those that are not single losses in the moment of an exchange: the next one to that address must arrive."""
        closed, previous = set(), {}
        for number, (address, at) in self.must.items():
            if number in missing:
                amid = any(begin <= at <= end for begin, end in self.exchanges)
                if not amid or previous.get(address) in missing:
                    closed.add(number)
            previous[address] = number
        return closed

    def _around(self, sent, numbers):
        lines = [f"{len(numbers)} of {len(sent)}"]
        for number in sorted(numbers)[:5]:
            address, at = sent[number]
            lines.append(f"{address} at {at:.4f}, amid")
            before = [moment for moment in self.story if moment[0] <= at]
            lines += [f"    {when:.4f} {what}" for when, what in before[-3:] + self.story[len(before):][:3]]
        return "\n".join(lines)


def reaches(attacker, addresses):
    """To which of them a datagram gets: each from a socket of its own."""
    mark = os.urandom(8)
    for address in addresses:
        with attacker.socket(socket.SOCK_DGRAM) as datagrams:
            try:
                datagrams.sendto(mark, (address, PORT))
            except OSError:
                pass
    return {packet.target for packet in attacker.arrived() if packet.payload[8:16] == mark}


def allowed(document):
    """The address targets that a policy document allows, of those that are probed."""
    return {rule["target"] for rule in document["egress"] if rule["action"] == "allow" and rule["target"] in PROBED}


def allow(*targets):
    return [{"action": "allow", "target": target} for target in targets]


def build_shim(folder):
    """The library that lets system calls fail, see faults.c."""
    library = folder / "faults.so"
    run("cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(pathlib.Path(__file__).with_name("faults.c")), "-ldl")
    return library
