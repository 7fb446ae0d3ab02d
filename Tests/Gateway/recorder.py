"""Servers that write down every byte they get, and answer each request that h11 sees the end of."""

import asyncio
import threading

import h11

# Far above what the gateway lets through, so that nothing is refused here for its size alone.
LARGEST_HEAD = 1 << 20


class Loop:
    """One event loop in a thread of its own, for all recorders of a run."""

    _shared = None

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    @classmethod
    def shared(cls):
        cls._shared = cls._shared or cls()
        return cls._shared

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=30)

    def serve(self, listener, protocol):
        """A server that makes a `protocol` for each connection."""
        async def serve():
            return await asyncio.get_running_loop().create_server(protocol, sock=listener)

        return self.run(serve())

    def end(self, server, connections):
        """Ends a server and its connections; each has a `transport`."""
        async def end():
            server.close()
            for connection in list(connections):
                connection.transport.abort()

        self.run(end())


class Request:
    """A request as a parser saw it; `complete` when its end was seen, too."""

    def __init__(self, event):
        self.method, self.target = event.method, event.target
        self.version = event.http_version
        self.headers = [(name.lower(), value) for name, value in event.headers]
        self.body = b""
        self.complete = False

    def values(self, name):
        return [value for key, value in self.headers if key == name]


class Reading:
    """What h11 makes of bytes, as they come."""

    def __init__(self):
        self.parser = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_HEAD)
        self.requests = []
        self.error = None

    def feed(self, data):
        """The answers to what is complete now, and whether the connection goes on."""
        answers = b""
        try:
            self.parser.receive_data(data)
            while True:
                event = self.parser.next_event()
                if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                    return answers, self.parser.our_state in (h11.IDLE, h11.SEND_RESPONSE)
                if isinstance(event, h11.Request):
                    self.requests.append(Request(event))
                elif isinstance(event, h11.Data):
                    self.requests[-1].body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self.requests[-1].complete = True
                    answers += self.answer()
                    if self.parser.our_state is not h11.DONE or self.parser.their_state is not h11.DONE:
                        return answers, False
                    self.parser.start_next_cycle()
        except h11.RemoteProtocolError as error:
            self.error = str(error)
            return answers, False

    def answer(self):
        body = b"recorded"
        sent = self.parser.send(h11.Response(status_code=200, headers=[("Content-Length", str(len(body)))]))
        sent += self.parser.send(h11.Data(data=body)) if self.requests[-1].method != b"HEAD" else b""
        return sent + self.parser.send(h11.EndOfMessage())


class Recorded(asyncio.Protocol):
    """One connection."""

    def __init__(self, owner):
        self.owner = owner
        self.bytes = b""
        self.reading = Reading()
        self.is_open = True

    def connection_made(self, transport):
        self.transport = transport
        self.owner.connections.append(self)

    def data_received(self, data):
        self.bytes += data
        answers, goes_on = self.reading.feed(data)
        self.transport.write(answers)
        if not goes_on:
            self.transport.close()

    def connection_lost(self, error):
        self.is_open = False


class Recorder:
    def __init__(self, listener, loop=None):
        self.connections = []
        self.port = listener.getsockname()[1]
        self.loop = loop or Loop.shared()
        self.server = self.loop.serve(listener, lambda: Recorded(self))

    @property
    def bytes(self):
        """Everything that has come, whatever the connection."""
        return b"".join(connection.bytes for connection in list(self.connections))

    @property
    def requests(self):
        return [request for connection in list(self.connections) for request in connection.reading.requests]

    @property
    def errors(self):
        return [connection.reading.error for connection in list(self.connections) if connection.reading.error]

    def forget(self):
        """Ends all connections, and begins anew."""
        async def close():
            # What connects from here on is of the new list: a connection that no list holds would be kept by the
            # gateway's pool, and take requests that nobody sees.
            gone, self.connections = self.connections, []
            for connection in gone:
                connection.transport.abort()
            # A turn of the loop for what has been aborted to be lost.
            await asyncio.sleep(0)

        self.loop.run(close())

    def close(self):
        self.loop.end(self.server, self.connections)
