"""The second arena: root with every capability but power over its network, in a namespace that `sallyport guard` guards.

Guarded and unguarded namespaces have the same layout: `eth0` inside, its other end in the outside namespace, where all
servers are and where everything that arrives is recorded. Addresses exist in these namespaces alone.
"""

import ctypes
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading

import httpx
from support.server import BACKTRACE, BINARY
from support.name_server import NameServer, _name, _wire
from support.waiting import eventually
from support.world import run

ATTACKS = pathlib.Path(__file__).with_name("attacks")
# Of Debian, which has scapy.
PYTHON = "/usr/bin/python3"

ONE, TWO, THREE, FOUR, BARRIER = (f"198.51.100.{i}" for i in (1, 2, 3, 4, 9))
ONE_V6, TWO_V6 = "2001:db8::1", "2001:db8::2"
BARRIER_PORT = 9
ICMP, IPIP, TCP, UDP, IPV6, GRE, ICMPV6, SCTP = 1, 4, 6, 17, 41, 47, 58, 132
# What a link says by itself: router and neighbour discovery, multicast reports.
CHATTER = {130, 131, 132, 133, 134, 135, 136, 143}
EXTENSIONS = {0, 43, 60}
FRAGMENT = 44


def in_namespace(name, work):
    """What `work` returns in a thread of that network namespace; sockets it makes stay there."""
    results = []

    def enter():
        descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000):
                raise OSError(ctypes.get_errno(), "setns")
            results.append(work())
        except BaseException as error:
            results.append(error)
        finally:
            os.close(descriptor)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


class Packet:
    """What one frame carries, below all IPv6 extension headers."""

    def __init__(self, kind, data):
        self.bytes = data
        self.fragment = False
        if kind == 0x0800:
            self.version, self.protocol = 4, data[9]
            self.source, self.target = (socket.inet_ntop(socket.AF_INET, data[at:at + 4]) for at in (12, 16))
            self.fragment = struct.unpack("!H", data[6:8])[0] & 0x3FFF != 0
            self.payload = data[(data[0] & 15) * 4:]
        else:
            self.version, self.protocol = 6, data[6]
            self.source, self.target = (socket.inet_ntop(socket.AF_INET6, data[at:at + 16]) for at in (8, 24))
            self.payload = data[40:]
            while self.protocol in EXTENSIONS | {FRAGMENT} and len(self.payload) >= 8:
                self.fragment |= self.protocol == FRAGMENT
                length = 8 if self.protocol == FRAGMENT else 8 + 8 * self.payload[1]
                self.protocol, self.payload = self.payload[0], self.payload[length:]

    @property
    def port(self):
        if self.protocol in (TCP, UDP) and len(self.payload) >= 4:
            return struct.unpack("!H", self.payload[2:4])[0]
        return None

    @property
    def is_chatter(self):
        return self.protocol == ICMPV6 and self.payload[:1] and self.payload[0] in CHATTER

    def __repr__(self):
        return f"<{self.source} > {self.target} protocol {self.protocol} port {self.port}{' fragment' * self.fragment}>"


class Capture:
    """Everything that arrives at the outside's end of one link, except what links say by themselves."""

    def __init__(self, namespace, link):
        def listen():
            listener = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
            listener.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
            listener.bind((link, 3))
            return listener

        self.packets = []
        self._socket = in_namespace(namespace, listen)
        self._socket.settimeout(0.2)
        self._ends = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while not self._ends:
            try:
                data, (_, kind, direction, *_) = self._socket.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            if direction == 4 or kind not in (0x0800, 0x86DD):
                continue
            packet = Packet(kind, data)
            if not packet.is_chatter:
                self.packets.append(packet)

    def close(self):
        self._ends = True
        self._thread.join(timeout=2)
        self._socket.close()


class Authority(NameServer):
    """A name server in the outside that keeps the queries' bytes; `scripts` answer names below a suffix themselves."""

    def __init__(self):
        super().__init__()
        self.queries = []
        self.scripts = {}

    def answer(self, query):
        self.queries.append(query)
        name = _name(query, 12)[0]
        for suffix, script in self.scripts.items():
            if name == suffix or name.endswith("." + suffix):
                return script(query)
        return super().answer(query)

    def count(self, part):
        return sum(part in _name(query, 12)[0] for query in list(self.queries))


def asked(query):
    """The name and the type."""
    name, end = _name(query, 12)
    return name, struct.unpack("!H", query[end:end + 2])[0]


def response(query, *records, code=0):
    """An answer with records of (owner, type, data)."""
    _, end = _name(query, 12)
    body = b"".join(
        _wire(owner) + struct.pack("!HHIH", kind, 1, 60, len(data)) + data for owner, kind, data in records)
    return query[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(records), 0, 0) + query[12:end + 4] + body


class Arena:
    """The outside, a guard, and attackers in namespaces of their own."""

    # More of the guard's [egress] settings, and of its environment.
    settings = ""
    environment = {}

    def __init__(self, mode="dns+nft"):
        self.mode = mode
        self.tag = "b" + secrets.token_hex(2)
        self.outside = f"byp-{self.tag}-out"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"sallyport-byp-{self.tag}-"))
        # Of the guard.
        self.log = self.folder / "log"
        self.attackers, self.processes = [], []
        self.number = 0
        self.guard = self.resolver = None
        self.names = Authority()
        try:
            run("ip", "netns", "add", self.outside)
            run("ip", "-n", self.outside, "link", "set", "lo", "up")
            for address in (ONE, TWO, THREE, FOUR, BARRIER, "169.254.169.254"):
                run("ip", "-n", self.outside, "address", "add", f"{address}/32", "dev", "lo")
            for address in (ONE_V6, TWO_V6):
                run("ip", "-n", self.outside, "address", "add", f"{address}/128", "dev", "lo", "nodad")
            # Another resolver, which the unguarded find.
            self.resolver = self.listen(socket.SOCK_DGRAM, ONE, 53, self.names.answer)
            self._start_guard()
        except BaseException:
            self.close()
            raise
        self.names.add("one.example", ONE, ONE_V6)
        self.names.add("two.example", TWO, TWO_V6)

    def _start_guard(self):
        config = self.folder / "guard.toml"
        config.write_text(f"""
[local]
state_dir = "{self.folder}/state"
run_dir = "{self.folder}/run"
[egress]
mode = "{self.mode}"
upstreams = ["127.0.0.1:{self.names.port}"]
{self.settings}""")
        with open(self.log, "ab") as log:
            self.guard = subprocess.Popen(
                [BINARY, "egress", "--config", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **BACKTRACE, **self.environment}, start_new_session=True)
        path = self.folder / "run/egress-admin.sock"

        def is_up():
            assert self.guard.poll() is None, self.log.read_text()[-3000:]
            return path.exists()

        eventually(is_up, within=30, what="the guard")
        self.admin = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)), base_url="http://guard", timeout=15)
        eventually(self._answers, within=30, what="the administrative API")

    def _answers(self):
        try:
            return self.admin.get("/sandboxes").status_code == 200
        except httpx.TransportError:
            return False

    def attacker(self, policy=None, guarded=True):
        self.number += 1
        attacker = Attacker(self, self.number)
        self.attackers.append(attacker)
        if guarded:
            attacker.protect(policy)
        return attacker

    def listen(self, kind, address, port, handle):
        """A server of the outside: `handle(socket)` in a thread, for each connection or for the datagram socket."""
        def bind():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            server = socket.socket(family, kind)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address, port))
            return server

        return Server(in_namespace(self.outside, bind), kind, handle)

    def close(self):
        for attacker in list(self.attackers):
            attacker.close()
        if self.guard is not None:
            self.admin.close()
            self.guard.send_signal(signal.SIGTERM)
            try:
                self.guard.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.guard.kill()
                self.guard.wait()
        if self.resolver is not None:
            self.resolver.close()
        subprocess.run(["ip", "netns", "delete", self.outside], capture_output=True)
        self.names.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def leftovers(self):
        return [path.name for path in pathlib.Path("/run/netns").glob(f"byp-{self.tag}-*")]


class Server:
    """Echoes, or what `handle` says, until it is closed."""

    def __init__(self, server, kind, handle):
        self.socket, self.kind, self.handle = server, kind, handle
        self.met = 0
        if kind == socket.SOCK_STREAM:
            server.listen(64)
        server.settimeout(0.2)
        self._ends = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while not self._ends:
            try:
                if self.kind == socket.SOCK_STREAM:
                    connection, _ = self.socket.accept()
                    self.met += 1
                    threading.Thread(target=self._hold, args=(connection,), daemon=True).start()
                else:
                    data, peer = self.socket.recvfrom(65536)
                    self.met += 1
                    self.socket.sendto(self.handle(data) or b"", peer)
            except TimeoutError:
                continue
            except OSError:
                if self._ends:
                    return

    def _hold(self, connection):
        connection.settimeout(20)
        try:
            with connection:
                self.handle(connection)
        except OSError:
            pass

    def close(self):
        self._ends = True
        self._thread.join(timeout=2)
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def echo(connection):
    while data := connection.recv(4096):
        connection.sendall(data)


def page(connection):
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\noutside\n")


class Attacker:
    """Root in a namespace; `outside` is its gateway's address."""

    def __init__(self, arena, number):
        self.arena = arena
        self.id = f"{arena.tag}-{number}"
        self.processes = []
        self.guarded = False
        self.connect(number)
        self.capture = Capture(arena.outside, self.link)

    def connect(self, number):
        """Makes the namespace and its link. `home` is the outside's device with the gateway's address."""
        self.namespace = f"byp-{self.id}"
        self.link = self.home = f"h{number}"
        network = f"10.{77 + number // 256}.{number % 256}"
        self.gateway, self.address = f"{network}.1", f"{network}.2"
        self.gateway_v6, self.address_v6 = f"fd00:77:{number:x}::1", f"fd00:77:{number:x}::2"
        run("ip", "netns", "add", self.namespace)
        run("ip", "-n", self.namespace, "link", "add", "eth0", "type", "veth", "peer", "name", self.link,
            "netns", self.arena.outside)
        for namespace, link, address, address_v6 in (
            (self.namespace, "eth0", self.address, self.address_v6),
            (self.arena.outside, self.link, self.gateway, self.gateway_v6),
        ):
            run("ip", "-n", namespace, "address", "add", f"{address}/30", "dev", link)
            run("ip", "-n", namespace, "address", "add", f"{address_v6}/64", "dev", link, "nodad")
            run("ip", "-n", namespace, "link", "set", "lo", "up")
            run("ip", "-n", namespace, "link", "set", link, "up")
        run("ip", "-n", self.namespace, "route", "add", "default", "via", self.gateway)
        run("ip", "-n", self.namespace, "-6", "route", "add", "default", "via", self.gateway_v6)
        self.know_neighbours()

    def know_neighbours(self):
        """No packet waits for a neighbour: what was sent first arrives first."""
        outside = self.arena.outside
        for namespace, link, other, far, addresses in (
            (self.namespace, "eth0", outside, self.home, (self.gateway, self.gateway_v6)),
            (outside, self.home, self.namespace, "eth0", (self.address, self.address_v6)),
        ):
            mac = json.loads(run("ip", "-n", other, "-json", "link", "show", far))[0]["address"]
            for address in addresses:
                run("ip", "-n", namespace, "neigh", "replace", address, "lladdr", mac, "dev", link, "nud", "permanent")
            if link == "eth0":
                self.gateway_mac = mac

    def protect(self, policy):
        body = {"namespace": f"/run/netns/{self.namespace}"}
        if policy is not None:
            body["policy"] = policy
        answer = self.arena.admin.put(f"/sandboxes/{self.id}", json=body)
        assert answer.status_code == 200, answer.text
        self.guarded = True

    def policy(self, method, **options):
        return self.ask(method, "policy", **options)

    def ask(self, method, what, **options):
        token = self.arena.admin.get(f"/sandboxes/{self.id}/token").text
        return self.arena.admin.request(
            method, f"/sandboxes/{self.id}/{what}", headers={"OPENSANDBOX-EGRESS-AUTH": token}, **options)

    # What it does

    def run(self, *words, timeout=15, input=None):
        """Ends when the tool ends, or ends the tool; what it said is in `stdout`."""
        process = self.start(*words, stdin=subprocess.PIPE)
        try:
            out, _ = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, out)

    def start(self, *words, stdin=subprocess.DEVNULL):
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.namespace}", *words], stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        self.processes.append(process)
        return process

    def attack(self, script, *arguments, timeout=20):
        """A script of `attacks`, by Debian's Python; what it printed as JSON."""
        done = self.run(PYTHON, str(ATTACKS / f"{script}.py"), *arguments, timeout=timeout)
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout.splitlines()[-1])

    def socket(self, kind=socket.SOCK_STREAM, family=socket.AF_INET, protocol=0, timeout=3):
        made = in_namespace(self.namespace, lambda: socket.socket(family, kind, protocol))
        made.settimeout(timeout)
        return made

    def connects(self, address, port, timeout=3):
        """Whether TCP gets through."""
        with self.socket(family=socket.AF_INET6 if ":" in address else socket.AF_INET, timeout=timeout) as client:
            try:
                client.connect((address, port))
                return True
            except OSError:
                return False

    def dig(self, *words, server=ONE):
        return self.run("dig", "+tries=1", "+time=3", f"@{server}", *words).stdout

    def asks(self, name, kind="A"):
        """The addresses that a plain look-up brings."""
        return self.dig("+short", name, kind).split()

    # What came of it

    def arrived(self):
        """The packets that reached the outside until now: a last one, which may pass, follows them on the same link."""
        mark = secrets.token_bytes(16)

        def seen():
            with self.socket(socket.SOCK_DGRAM) as datagrams:
                datagrams.sendto(mark, (BARRIER, BARRIER_PORT))
            return any(packet.payload[8:24] == mark for packet in list(self.capture.packets))

        eventually(seen, what="the packet that may pass")
        return [p for p in self.capture.packets if p.target != BARRIER]

    def close(self):
        if self not in self.arena.attackers:
            return
        self.arena.attackers.remove(self)
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        self.capture.close()
        self.disconnect()

    def disconnect(self):
        if self.guarded and self.arena.guard.poll() is None:
            self.arena.admin.delete(f"/sandboxes/{self.id}")
        subprocess.run(["ip", "netns", "delete", self.namespace], capture_output=True)


def deny_but(*rules):
    """Denies all but `rules` (targets, or rules) and the datagram by which a test sees that all before has arrived."""
    return {"defaultAction": "deny", "egress": [
        {"action": "allow", "target": BARRIER, "ports": [BARRIER_PORT], "protocol": "udp"},
        *({"action": "allow", "target": rule} if isinstance(rule, str) else rule for rule in rules)]}
