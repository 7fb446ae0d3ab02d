"""Many clients by header, host and path while sandboxes are deleted and made anew and their servers restarted.

Every server answers with the id of its sandbox; every answer must be of the sandbox that was asked.
"""

import asyncio
import json
import pathlib
import random
import threading
import time
from collections import Counter

from doors import listen_inside
from recorder import Loop
from separate import DOMAIN, SeparateGateway
from support.leftovers import name_of
from support.parts import part

SANDBOXES = 6
CLIENTS = 12
# After a change: a separate gateway may be 100 ms behind, and connections that were kept may just be ending.
SETTLING = 1.0
# What may be answered while a sandbox comes or goes; never when it stays.
PASSING = {404, 502, 503, 504}


class Named(asyncio.Protocol):
    """Answers each request with the name of its sandbox."""

    def __init__(self, owner):
        self.owner, self.data = owner, b""

    def connection_made(self, transport):
        self.transport = transport
        self.owner.connections.add(self)

    def connection_lost(self, error):
        self.owner.connections.discard(self)

    def data_received(self, data):
        self.data += data
        while b"\r\n\r\n" in self.data:
            head, _, rest = self.data.partition(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line[15:])
            if len(rest) < length:
                return
            self.data = rest[length:]
            body = self.owner.name + b" " + rest[:length]
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


class Backend:
    PORT = 8000

    def __init__(self, server, sandbox):
        self.server, self.id, self.name = server, sandbox, sandbox.encode()
        self.connections = set()
        # Changes with everything that may disturb a request.
        self.changes = 0
        self.settled = time.monotonic() + SETTLING
        self.loop = Loop.shared()
        self._listen()

    def _listen(self):
        listener = listen_inside(self.server, self.id, self.PORT)
        self.listening = self.loop.serve(listener, lambda: Named(self))

    def stop(self):
        self.loop.end(self.listening, self.connections)

    def disturb(self):
        self.changes += 1
        self.settled = float("inf")

    def restart(self):
        self.disturb()
        self.stop()
        self._listen()
        self.settled = time.monotonic() + SETTLING


class Soak:
    def __init__(self, server, seconds, seed=1):
        self.server = server
        self.seconds = seconds
        self.chance = random.Random(seed)
        self.count = Counter()
        self.problems = []
        self.hosts = Counter()
        self.over = threading.Event()
        self.gateways = {"header": ("127.0.0.1", server.gateway_port)}
        self.separate = [SeparateGateway(server, mode).start() for mode in ("uri", "wildcard")]
        for gateway in self.separate:
            self.gateways[gateway.mode] = gateway.address
        self.backends = [self._create() for _ in range(SANDBOXES)]

    def _create(self):
        with self.server.api as api:
            answer = api.post("/v1/sandboxes", json=self.server.body())
        assert answer.status_code == 202, answer.text
        sandbox = answer.json()["id"]
        self.server.seen.add(sandbox)
        self.hosts[self._host(sandbox)] += 1
        return Backend(self.server, sandbox)

    def _host(self, sandbox):
        """Which of the pool's addresses it has."""
        record = self.server.state / "sandboxes" / name_of(sandbox) / "sandbox.json"
        return json.loads(record.read_text())["link"]["host"]

    # What disturbs

    def _disturb(self):
        while not self.over.wait(0.05):
            place = self.chance.randrange(SANDBOXES)
            backend = self.backends[place]
            if self.chance.random() < 0.5:
                backend.restart()
                self.count["restarts"] += 1
            else:
                backend.disturb()
                # Its server stays till the end: a request that still arrives is answered in its name.
                with self.server.api as api:
                    assert api.delete(f"/v1/sandboxes/{backend.id}").status_code == 204
                backend.stop()
                self.backends[place] = self._create()
                self.count["recycled"] += 1

    # Clients

    def _request(self, mode, backend, number):
        label = b"%s-%d" % (backend.name, Backend.PORT)
        path, host, more = b"/x", b"h", b""
        if mode == "header":
            more = b"OpenSandbox-Ingress-To: " + label + b"\r\n"
        elif mode == "uri":
            path = b"/%s/%d/x" % (backend.name, Backend.PORT)
        else:
            host = label + b"." + DOMAIN.encode()
        body = b"%d" % number
        return (b"POST " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + more
                + b"Content-Length: %d\r\n\r\n" % len(body) + body), body

    async def _client(self, number):
        mode = ["header", "uri", "wildcard"][number % 3]
        chance = random.Random(number)
        reader = writer = None
        serial = number * 1_000_000_000
        while not self.over.is_set():
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(*self.gateways[mode])
                backend = chance.choice(self.backends)
                before, steady = backend.changes, time.monotonic() > backend.settled
                serial += 1
                request, body = self._request(mode, backend, serial)
                writer.write(request)
                status, answer, closes = await asyncio.wait_for(self._answer(reader), 30)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.problems.append((mode, repr(error)))
                writer = None
                continue
            undisturbed = steady and backend.changes == before
            self.count[status] += 1
            if status == 200 and answer != backend.name + b" " + body:
                self.problems.append((mode, "misrouted", backend.id, answer))
            elif status != 200 and (undisturbed or status not in PASSING):
                self.problems.append((mode, status, backend.id, answer))
            # Now and then a client begins anew.
            if closes or chance.random() < 0.02:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()

    @staticmethod
    async def _answer(reader):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return int(head[9:12]), await reader.readexactly(length), b"connection: close" in head

    # All of it

    def processes(self):
        # The gateway's own process, where it has one.
        own = part(self.server, "gateway") or self.server.process.pid
        return {"header": own, **{g.mode: g.process.pid for g in self.separate}}

    def usage(self):
        return {mode: (descriptors(pid), memory(pid)) for mode, pid in self.processes().items()}

    def run(self, every=None, report=lambda *_: None):
        """Disturbs for `seconds`; reports the usage of each gateway `every` seconds."""
        disturber = threading.Thread(target=self._disturb_or_tell)
        disturber.start()

        async def clients():
            await asyncio.gather(*(self._client(number) for number in range(CLIENTS)))

        runner = threading.Thread(target=lambda: asyncio.run(clients()))
        runner.start()
        end = time.monotonic() + self.seconds
        while (left := end - time.monotonic()) > 0 and disturber.is_alive():
            time.sleep(min(left, every or left))
            report(self.usage(), dict(self.count))
        self.over.set()
        disturber.join()
        runner.join()

    def _disturb_or_tell(self):
        try:
            self._disturb()
        except BaseException as error:
            self.problems.append(("disturber", repr(error)))

    def close(self):
        for backend in self.backends:
            backend.stop()
        for gateway in self.separate:
            gateway.stop()


def descriptors(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def memory(pid):
    """Bytes of the process's own."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
