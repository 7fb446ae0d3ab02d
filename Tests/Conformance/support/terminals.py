"""A client of terminals (docs/execd.md#terminals), over a WebSocket library that is not ours."""

import contextlib
import json
import struct
import time

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from .waiting import patient

TOKEN = "X-EXECD-ACCESS-TOKEN"


def endpoint(api, sandbox, way="gateway"):
    """URL and headers of execd."""
    query = "?use_server_proxy=true" if way == "proxy" else ""
    told = api.get(f"/v1/sandboxes/{sandbox.id}/endpoints/44772{query}").json()
    return f"http://{told['endpoint']}", told.get("headers", {})


class Terminals:
    """The terminals of one sandbox."""

    def __init__(self, api, sandbox, way="gateway"):
        self.url, self.headers = endpoint(api, sandbox, way)

    def call(self, method, path="", **options):
        return httpx.request(method, f"{self.url}/pty{path}", headers=self.headers, timeout=30, **options)

    def create(self, **body):
        answer = self.call("POST", json=body) if body else self.call("POST")
        assert answer.status_code == 201, answer.text
        return answer.json()["session_id"]

    def status(self, name):
        return self.call("GET", f"/{name}").json()

    @contextlib.contextmanager
    def client(self, name, query="", since=0, **options):
        url = f"{self.url.replace('http', 'ws', 1)}/pty/{name}/ws{query}"
        with connect(url, additional_headers=self.headers, max_size=4 << 20, close_timeout=5, **options) as socket:
            yield Client(socket, since)


class Client:
    """One connection. `output` is everything so far, `position` the offset of the next byte as the contract counts it."""

    def __init__(self, socket, since=0):
        self.socket = socket
        self.position = since
        self.output = b""
        self.errors = b""
        self.notices = []
        self.replays = []
        self.largest = 0
        self.total = 0

    def type(self, text):
        self.socket.send(b"\0" + text.encode())

    def say(self, kind, **fields):
        self.socket.send(json.dumps({"type": kind, **fields}))

    def read(self, timeout=20):
        frame = self.socket.recv(timeout=patient(timeout))
        if isinstance(frame, str):
            self.notices.append(json.loads(frame))
            return
        kind, payload = frame[0], frame[1:]
        if kind == 3:
            (self.position,), payload = struct.unpack(">q", payload[:8]), payload[8:]
            self.replays.append((self.position, len(payload)))
        else:
            self.largest = max(self.largest, len(payload))
        self.position += len(payload)
        self.total += len(payload)
        if kind == 2:
            self.errors += payload
        else:
            # Only the end is looked for, and floods are long.
            self.output = (self.output + payload)[-(8 << 20):]

    def until(self, text, timeout=20):
        end = time.monotonic() + patient(timeout)
        while text not in self.text[-(1 << 16):]:
            assert time.monotonic() < end, f"{self.output[-2000:]} has no {text}"
            self.read(timeout)
        return self.text

    @property
    def text(self):
        """With plain line breaks, and without what bash tells the terminal about pasting."""
        text = self.output.decode(errors="replace").replace("\r\n", "\n")
        return text.replace("\x1b[?2004l\r", "").replace("\x1b[?2004h", "")

    def connected(self):
        while not self.notices:
            self.read()
        assert self.notices[0]["type"] == "connected"
        return self.notices[0]

    def to_end(self):
        """The close code and reason."""
        try:
            while True:
                self.read()
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
