"""The upstream of the server under test: an authoritative server for a few names, on loopback, over UDP and TCP."""

import ipaddress
import socket
import socketserver
import struct
import threading
from collections import Counter

A, CNAME, AAAA = 1, 5, 28
TTL = 60


def _pair(address, port, udp, tcp):
    """Servers for both on one port. A port that is free for the one may be taken for the other."""
    for attempt in range(50):
        first = socketserver.ThreadingUDPServer((address, port), udp)
        try:
            return first, socketserver.ThreadingTCPServer(first.server_address, tcp)
        except OSError:
            first.server_close()
    raise RuntimeError("no port is free for both UDP and TCP")


class NameServer:
    """Answers from `records`: name -> list of (type, value). Counts what it is asked."""

    def __init__(self, address="127.0.0.1", port=0):
        self.records = {}
        self.asked = Counter()
        self._lock = threading.Lock()
        handlers = {"owner": self}
        udp = type("UDP", (_Datagram,), handlers)
        tcp = type("TCP", (_Stream,), handlers)
        self._udp, self._tcp = _pair(address, port, udp, tcp)
        self.address, self.port = self._udp.server_address[:2]
        for server in (self._udp, self._tcp):
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()

    def add(self, name, *values):
        """Addresses, or one other name as an alias."""
        self.records[name] = [self._record(value) for value in values]

    @staticmethod
    def _record(value):
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return CNAME, value
        return (A if address.version == 4 else AAAA), value

    def answer(self, query):
        number, = struct.unpack("!H", query[:2])
        name, end = _name(query, 12)
        kind, = struct.unpack("!H", query[end:end + 2])
        with self._lock:
            self.asked[name] += 1
        answers, owner = b"", name
        count = 0
        while owner in self.records:
            alias = None
            for record, value in self.records[owner]:
                if record not in (kind, CNAME):
                    continue
                data = _wire(value) if record == CNAME else ipaddress.ip_address(value).packed
                answers += _wire(owner) + struct.pack("!HHIH", record, 1, TTL, len(data)) + data
                count += 1
                alias = value if record == CNAME else None
            if alias is None:
                break
            owner = alias
        code = 0 if name in self.records else 3
        header = struct.pack("!HHHHHH", number, 0x8580 | code, 1, count, 0, 0)
        return header + query[12:end + 4] + answers


def _name(message, offset):
    labels = []
    while message[offset]:
        length = message[offset]
        labels.append(message[offset + 1:offset + 1 + length].decode("ascii"))
        offset += 1 + length
    return ".".join(labels).lower(), offset + 1


def _wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class _Datagram(socketserver.BaseRequestHandler):
    owner = None

    def handle(self):
        data, reply = self.request
        reply.sendto(self.owner.answer(data), self.client_address)


class _Stream(socketserver.BaseRequestHandler):
    owner = None

    def handle(self):
        self.request.settimeout(5)
        try:
            while head := self.request.recv(2, socket.MSG_WAITALL):
                query = self.request.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
                answer = self.owner.answer(query)
                self.request.sendall(struct.pack("!H", len(answer)) + answer)
        except OSError:
            pass
