"""A gateway of the test's own with TLS and HTTP/2, in front of a server of the test's own on loopback."""

import base64
import hashlib
import json
import os
import pathlib
import queue
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
import pytest
from directory import Directory
from support.server import BINARY, free_port
from support.certificates import make_certificate
from support.waiting import eventually

ROUTE = "opensandbox-ingress-to"
SANDBOX = "test-sandbox"
PATIENCE = 15


def settled(value, pause=0.3):
    """What `value` comes to: unchanged for a few pauses."""
    seen = []

    def same():
        time.sleep(pause)
        seen.append(value())
        return len(seen) > 3 and len(set(seen[-3:])) == 1
    eventually(same, within=30)
    return seen[-1]


class Gateway:
    """`sallyport ingress` on a directory of the test's, in front of `Backend`."""

    def __init__(self, *certificates, backend_port):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-h2-"))
        self.backend_port = backend_port
        self.port, self.secure_port = free_port(), free_port()
        self.certificates = [make_certificate(self.folder, *names) for names in certificates]
        listed = "\n".join(
            f'[[ingress.tls.certificates]]\ncertificate = "{certificate}"\nkey = "{key}"'
            for certificate, key in self.certificates)
        tls = f"[ingress.tls]\nport = {self.secure_port}\n{listed}" if certificates else ""
        self.config = self.folder / "sallyport.toml"
        self.config.write_text(f"""
[log]
level = "DEBUG"
[ingress]
port = {self.port}
{tls}
[local]
state_dir = "{self.folder}/state"
run_dir = "{self.folder}/run"
""")
        self.log = self.folder / "log"
        self.process, self.flags = None, []
        for name in ("state", "run"):
            (self.folder / name).mkdir(mode=0o700)
        self.directory = Directory(self.folder / "run" / "directory.sock", SANDBOX)

    def launch(self):
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OPENSANDBOX", "OPEN_SANDBOX"))}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "ingress", "--config", str(self.config), *self.flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=inherited, start_new_session=True)
        return self

    def start(self):
        self.launch()
        eventually(self._listens, within=30, what="the gateway")
        self._await_sandbox()
        return self

    def _listens(self):
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _await_sandbox(self):
        def known():
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as client:
                client.sendall(f"GET /echo HTTP/1.1\r\nHost: h\r\n{ROUTE}: {self.route}\r\nConnection: close\r\n\r\n"
                               .encode())
                return client.recv(20).startswith(b"HTTP/1.1 200")
        eventually(known, what="the route")

    @property
    def route(self):
        return f"{SANDBOX}-{self.backend_port}"

    @property
    def plain(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def secure(self):
        return f"https://127.0.0.1:{self.secure_port}"

    def text(self):
        return self.log.read_text(errors="replace")

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.directory.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Handler(BaseHTTPRequestHandler):
    """What each path does is its method's name."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def handle_one(self):
        path = self.path.partition("?")[0]
        self.server.owner.seen.append((self.command, self.path, [(k.lower(), v) for k, v in self.headers.items()]))
        getattr(self, "at_" + path.strip("/").replace("-", "_"), self.at_echo)()

    do_GET = do_POST = do_PUT = do_HEAD = do_OPTIONS = handle_one

    def pieces(self):
        """The body as it comes."""
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while (line := self.rfile.readline()) != b"\r\n":
                self.server.owner.trailers.append(line.strip().decode())
        else:
            left = int(self.headers.get("content-length", 0))
            while left > 0:
                piece = self.rfile.read1(min(left, 65536))
                if not piece:
                    return
                left -= len(piece)
                yield piece

    def answer(self, body, **fields):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def begin_chunks(self, **fields):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def at_echo(self):
        body = b"".join(self.pieces())
        self.answer(json.dumps({
            "method": self.command, "target": self.path, "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(), "body": body[:100].decode("latin-1"),
            "headers": [(name.lower(), value) for name, value in self.headers.items()]}).encode())

    def at_large(self):
        count = int(self.path.partition("=")[2])
        self.send_response(200)
        self.send_header("Content-Length", str(count))
        self.end_headers()
        block = bytes(range(256)) * 256
        while count > 0:
            self.wfile.write(block[:count])
            self.server.owner.written += min(count, len(block))
            count -= len(block)

    def at_kilobyte(self):
        self.answer(b"k" * 1024)

    def at_trailers(self):
        for _ in self.pieces():
            pass
        self.begin_chunks(Trailer="X-Sum")
        self.chunk(b"body")
        self.wfile.write(b"0\r\nX-Sum: 42\r\nConnection: no\r\n\r\n")

    def at_early(self):
        self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        self.answer(b"late")

    def at_events(self):
        """Each event is sent when the test says so."""
        self.begin_chunks(Content_Type="text/event-stream")
        while (text := self.server.owner.events.get()) is not None:
            self.chunk(f"data: {text}\n\n".encode())
        self.wfile.write(b"0\r\n\r\n")

    def at_broken(self):
        self.begin_chunks()
        self.chunk(b"half")
        self.close_connection = True

    def at_unread(self):
        """Takes the body when the test says so."""
        self.server.owner.gate.wait(60)
        count = sum(len(piece) for piece in self.pieces())
        self.answer(str(count).encode())

    def at_waiting(self):
        """Until the client is gone."""
        self.server.owner.waiting += 1
        try:
            while self.connection.recv(1):
                pass
        except OSError:
            pass
        self.server.owner.waiting -= 1
        self.server.owner.abandoned += 1
        self.close_connection = True

    def at_refusing(self):
        """Answers before the body has come."""
        self.send_response(413)
        self.send_header("Content-Length", "5")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"large")
        self.close_connection = True

    def shake_hands(self, accept=None):
        key = self.headers.get("sec-websocket-key", "")
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: "
            + (accept or base64.b64encode(digest)) + b"\r\n\r\n")
        self.wfile.flush()
        self.close_connection = True

    def at_ws(self):
        """Sends a greeting, and everything back until the end, then a farewell."""
        self.shake_hands()
        self.wfile.write(b"welcome")
        try:
            while data := self.connection.recv(65536):
                self.connection.sendall(b"[" + data + b"]")
            self.connection.sendall(b"bye")
        except OSError:
            pass
        self.server.owner.ended += 1

    def at_ws_wrong(self):
        self.shake_hands(base64.b64encode(b"x" * 20))

    def at_ws_refused(self):
        self.send_response(403)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"no")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """Clients that go in the middle are what some tests are about."""


class Backend:
    def __init__(self):
        self.seen, self.trailers = [], []
        self.written = self.waiting = self.abandoned = self.ended = 0
        self.events, self.gate = queue.Queue(), threading.Event()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.owner = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def requests(self, path):
        return [each for each in list(self.seen) if each[1].startswith(path)]

    def close(self):
        self.events.put(None)
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


class Client:
    """A connection of HTTP/2 by the `h2` library. `events` holds what has come, in order."""

    def __init__(self, gateway, tls=False, name="127.0.0.1", window=None, checks=True):
        self.gateway, self.name = gateway, name
        port = gateway.secure_port if tls else gateway.port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname=name)
            assert self.socket.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=checks, normalize_outbound_headers=checks))
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.events, self.reads, self.is_open = [], True, True
        self.flush()

    def flush(self):
        try:
            self.socket.sendall(self.h2.data_to_send())
        except OSError:
            self.is_open = False

    def send_raw(self, data):
        self.flush()
        try:
            self.socket.sendall(data)
        except OSError:
            self.is_open = False

    def fields(self, path="/echo", method="GET", more=(), authority="h.example"):
        return [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path),
                (ROUTE, self.gateway.route), *more]

    def request(self, path="/echo", method="GET", more=(), body=None, ends=True):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, self.fields(path, method, more), end_stream=ends and body is None)
        if body is not None:
            self.send(stream, body, ends)
        self.flush()
        return stream

    def send(self, stream, body, ends=True):
        """Sends as the windows allow."""
        while body:
            size = min(len(body), self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if size == 0:
                self.flush()
                self.step()
                continue
            self.h2.send_data(stream, body[:size])
            body = body[size:]
        if ends:
            self.h2.end_stream(stream)
        self.flush()

    def step(self):
        """Reads once; False at the end of the connection."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            self.is_open = False
            return False
        for event in self.h2.receive_data(data):
            self.events.append(event)
            if isinstance(event, h2.events.DataReceived) and self.reads:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()
        return True

    def until(self, found, what="it"):
        """Reads until `found` is true of the events, or the connection ends."""
        deadline = time.monotonic() + PATIENCE
        while not (answer := found()):
            assert time.monotonic() < deadline, f"{what} did not come: {self.events}"
            if not self.step():
                return found()
        return answer

    def of(self, kind, stream=None):
        return [event for event in self.events
                if isinstance(event, kind) and (stream is None or event.stream_id == stream)]

    def body(self, stream):
        return b"".join(event.data for event in self.of(h2.events.DataReceived, stream))

    def status(self, stream):
        heads = self.of(h2.events.ResponseReceived, stream)
        return int(dict(heads[0].headers)[":status"]) if heads else None

    def response(self, stream):
        """Status, fields and body of a complete response."""
        assert self.until(lambda: self.of(h2.events.StreamEnded, stream), "the response"), self.events
        head = dict(self.of(h2.events.ResponseReceived, stream)[0].headers)
        return int(head[":status"]), head, self.body(stream)

    def reset_of(self, stream):
        """The code by which the gateway ends a stream."""
        found = self.until(lambda: self.of(h2.events.StreamReset, stream), "a reset")
        return found[0].error_code if found else None

    def goaway(self):
        """The code by which the gateway ends the connection, which it must close then."""
        found = self.until(lambda: self.of(h2.events.ConnectionTerminated), "GOAWAY")
        while self.is_open and self.step():
            pass
        return found[0].error_code if found else None

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def frame(kind, flags, stream, payload=b""):
    """A frame, well formed or not."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class RawClient:
    """A connection of HTTP/2 that sends whatever it is told, and knows only how to take frames apart."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE)
        self.decoder = hpack.Decoder()
        self.buffer, self.is_open = b"", True
        # By stream: the fields of the head, the body, the code of a reset, whether the stream has ended.
        self.heads, self.bodies, self.resets, self.ended, self.away = {}, {}, {}, set(), None
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            self.is_open = False

    def step(self):
        """Reads once; False at the end of the connection."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.is_open = False
            return False
        self.buffer += data
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                break
            kind, flags = self.buffer[3:5]
            stream = int.from_bytes(self.buffer[5:9], "big")
            self.take(kind, flags, stream, self.buffer[9:9 + length])
            self.buffer = self.buffer[9 + length:]
        return True

    def take(self, kind, flags, stream, payload):
        if kind == 1:
            self.heads.setdefault(stream, dict(self.decoder.decode(payload)))
        if kind == 0:
            self.bodies[stream] = self.bodies.get(stream, b"") + payload
        if kind in (0, 1) and flags & 1:
            self.ended.add(stream)
        if kind == 3:
            self.resets[stream] = int.from_bytes(payload, "big")
        if kind == 4 and not flags & 1:
            self.send(frame(4, 1, 0))
        if kind == 6 and not flags & 1:
            self.send(frame(6, 1, 0, payload))
        if kind == 7 and not self.away:
            # The first code that is not 0, else 0.
            self.away = int.from_bytes(payload[4:8], "big")

    def status(self, stream):
        """The response's status when it is complete; None where the stream was reset before one came."""
        while stream not in self.ended and stream not in self.resets and self.step():
            pass
        head = self.heads.get(stream)
        return int(head[":status"]) if head else None

    def goaway(self):
        """The code by which the gateway ends the connection, which it must close then."""
        while self.step():
            pass
        return self.away

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture(scope="module")
def backend():
    backend = Backend()
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def gateway(backend):
    gateway = Gateway(("one", "one.example"), backend_port=backend.port)
    try:
        yield gateway.start()
    finally:
        gateway.close()
