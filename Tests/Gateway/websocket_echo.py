"""An echo server for WebSockets (RFC 6455) that takes one frame at a time, so that its answers depend on nothing but the
bytes that it gets: not on the pieces in which they come.
"""

import asyncio
import base64
import hashlib
import struct

from recorder import Loop
from websocket_cases import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

KNOWN = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}
CODES = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014} | set(range(3000, 5000))


class Fault(Exception):
    """The code with which the connection is failed."""


class Refusal(Exception):
    """The status of the answer to a handshake that is none."""


def unmask(data, mask):
    whole = mask * (len(data) // 4 + 1)
    return (int.from_bytes(data, "big") ^ int.from_bytes(whole[:len(data)], "big")).to_bytes(len(data), "big")


def server_frame(opcode, data):
    size = len(data)
    length = bytes([size]) if size < 126 else struct.pack("!BH", 126, size) if size < 65536 else struct.pack("!BQ", 127, size)
    return bytes([0x80 | opcode]) + length + data


class Echo(asyncio.Protocol):
    def __init__(self, owner):
        self.owner = owner
        self.data = bytearray()
        self.is_open, self.ended = False, False
        self.message, self.kind = bytearray(), None

    def connection_made(self, transport):
        self.transport = transport
        self.owner.connections.add(self)

    def connection_lost(self, error):
        self.owner.connections.discard(self)

    def data_received(self, data):
        if self.ended:
            return  # Read on, so that the client sees the end and no reset.
        self.data += data
        try:
            if not self.is_open and not self._handshake():
                return
            while not self.ended and self._frame():
                pass
        except Fault as fault:
            self._end(server_frame(CLOSE, struct.pack("!H", fault.args[0])))
        except Refusal as refusal:
            self._end(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % refusal.args[0])

    def _end(self, last):
        self.transport.write(last)
        self.transport.write_eof()
        self.ended = True

    def _handshake(self):
        head, end, rest = bytes(self.data).partition(b"\r\n\r\n")
        if not end:
            return False
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.owner.requests.append(fields)
        asks = fields.get("upgrade", "").lower() == "websocket" and "upgrade" in fields.get("connection", "").lower()
        if not lines[0].startswith("GET ") or not asks or "sec-websocket-key" not in fields:
            raise Refusal(400)
        if fields.get("sec-websocket-version") != "13":
            raise Refusal(426)
        proof = hashlib.sha1((fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             b"Sec-WebSocket-Accept: " + base64.b64encode(proof) + b"\r\n\r\n")
        self.data = bytearray(rest)
        self.is_open = True
        return True

    def _frame(self):
        """Takes one frame, if it is there; a wrong head is known before the rest comes."""
        if len(self.data) < 2:
            return False
        fin, opcode, size = self.data[0] & 0x80, self.data[0] & 15, self.data[1] & 127
        is_control = opcode >= 8
        wrong = (self.data[0] & 0x70 or opcode not in KNOWN or not self.data[1] & 0x80 or (is_control and (not fin or size > 125))
                 or (opcode == CONTINUATION and self.kind is None) or (opcode in (TEXT, BINARY) and self.kind is not None))
        if wrong:
            raise Fault(1002)
        head = 2
        if size >= 126:
            head += 2 if size == 126 else 8
            if len(self.data) < head:
                return False
            size = int.from_bytes(self.data[2:head], "big")
        if len(self.data) < head + 4 + size:
            return False
        payload = unmask(bytes(self.data[head + 4:head + 4 + size]), bytes(self.data[head:head + 4]))
        del self.data[:head + 4 + size]
        self._control(opcode, payload) if is_control else self._part(opcode, payload, fin)
        return True

    def _control(self, opcode, payload):
        if opcode == PING:
            self.transport.write(server_frame(PONG, payload))
        elif opcode == CLOSE:
            if len(payload) == 1 or (payload and struct.unpack("!H", payload[:2])[0] not in CODES):
                raise Fault(1002)
            text(payload[2:])
            self._end(server_frame(CLOSE, payload[:2]))

    def _part(self, opcode, payload, fin):
        self.kind = opcode if self.kind is None else self.kind
        self.message += payload
        if fin:
            data, kind = bytes(self.message), self.kind
            self.message, self.kind = bytearray(), None
            if kind == TEXT:
                text(data)
            self.transport.write(server_frame(kind, data))


def text(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        raise Fault(1007) from None


class EchoServer:
    def __init__(self, listener):
        # Requests are their fields.
        self.connections, self.requests = set(), []
        self.port = listener.getsockname()[1]
        self.loop = Loop.shared()
        self.server = self.loop.serve(listener, lambda: Echo(self))

    def close(self):
        self.loop.end(self.server, self.connections)
