"""One request of the corpus, as bytes with places for what only a run knows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    why: str
    raw: bytes
    status: int = 400
    # Whether the connection ends with the answer. Where it goes on, a request behind is answered, too.
    closes: bool = True
    # header, uri or wildcard: which gateway it is for.
    mode: str = "header"

    def bytes(self, sandbox, port):
        """`%TO%` is a line that names the route, `%ID%` and `%PORT%` its parts."""
        line = b"OpenSandbox-Ingress-To: %ID%-%PORT%\r\n"
        return self.raw.replace(b"%TO%", line).replace(b"%ID%", sandbox).replace(b"%PORT%", port)


def head(line, *fields, host=True, to=True):
    """A request head: the line, a host, a route, and more fields, each ended by CRLF."""
    lines = [line] + ([b"Host: h"] if host else [])
    return b"\r\n".join(lines) + b"\r\n" + (b"%TO%" if to else b"") + b"".join(f + b"\r\n" for f in fields) + b"\r\n"


def get(*fields, target=b"/m", **more):
    return head(b"GET " + target + b" HTTP/1.1", *fields, **more)


def post(body, *fields, target=b"/m", **more):
    return head(b"POST " + target + b" HTTP/1.1", *fields, **more) + body


def chunked(body, *fields):
    return post(body, b"Transfer-Encoding: chunked", *fields)
