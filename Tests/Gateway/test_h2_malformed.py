"""What HTTP/2 calls malformed reaches no sandbox (RFC 9113, section 8.1.1), and what breaks the protocol ends the
connection."""

import socket

import pytest
from support_h2 import ROUTE, RawClient, backend, frame, gateway  # noqa: F401 (fixtures)

PROTOCOL_ERROR = 1
HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, WINDOW, CONTINUATION, DATA = 1, 2, 3, 4, 5, 6, 8, 9, 0
END_STREAM, END_HEADERS = 1, 4


@pytest.fixture
def client(gateway):
    with RawClient(gateway) as client:
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, block(plain(gateway, path="/kilobyte"))))
        assert client.status(1) == 200
        yield client


def block(fields):
    """Fields without compression, so that any bytes can stand in them."""
    out = b""
    for name, value in fields:
        name, value = (each if isinstance(each, bytes) else each.encode() for each in (name, value))
        assert len(name) < 127 and len(value) < 127
        out += b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
    return out


def plain(gateway, *more, without=(), method="GET", path="/malformed"):
    fields = [(":method", method), (":scheme", "http"), (":authority", "h.example"), (":path", path)]
    return [field for field in fields if field[0] not in without] + [(ROUTE, gateway.route), *more]


def ending(client, stream):
    """How the gateway answers: the status, or the code of a reset without one."""
    return client.status(stream) or ("reset", client.resets[stream])


MALFORMED = {
    "no method": dict(without=[":method"]), "no scheme": dict(without=[":scheme"]), "no path": dict(without=[":path"]),
    "no authority": dict(without=[":authority"]), "empty path": dict(path=""), "path without slash": dict(path="a"),
    "absolute path": dict(path="http://h.example/malformed"), "asterisk": dict(path="*"),
    "fragment": dict(path="/malformed#x"), "space in path": dict(path="/malformed x"),
    "line end in path": dict(path="/malformed\r\nX: y"), "NUL in path": dict(path="/malformed\0"),
    "beyond ASCII in path": dict(path="/malformed\u00e9"),
    "method with space": dict(method="GET /x"), "method with line end": dict(method="GET\r\nX: y"),
    "empty method": dict(method=""), "plain CONNECT with path": dict(method="CONNECT"),
    "second path": dict(more=[(":path", "/other")]), "second method": dict(more=[(":method", "GET")]),
    "unknown pseudo": dict(more=[(":proxy", "x")]), "status": dict(more=[(":status", "200")]),
    "late pseudo": dict(without=[":path"], more=[(":path", "/malformed")]),
    "protocol without CONNECT": dict(more=[(":protocol", "websocket")]),
    "upper case": dict(more=[("X-Upper", "1")]), "name with space": dict(more=[("x y", "1")]), "name with colon": dict(more=[("x:y", "1")]),
    "name with line end": dict(more=[("x\r\ny", "1")]), "name beyond ASCII": dict(more=[("x\u00e9", "1")]),
    "value with CR": dict(more=[("x-a", "1\r2")]), "value with LF": dict(more=[("x-a", "1\nx: 2")]),
    "value with NUL": dict(more=[("x-a", "1\x002")]), "value with DEL": dict(more=[("x-a", "1\x7f")]),
    "value with space before": dict(more=[("x-a", " 1")]), "value with tab behind": dict(more=[("x-a", "1\t")]),
    "connection": dict(more=[("connection", "close")]), "keep-alive": dict(more=[("keep-alive", "5")]),
    "proxy-connection": dict(more=[("proxy-connection", "x")]), "upgrade": dict(more=[("upgrade", "websocket")]),
    "transfer-encoding": dict(more=[("transfer-encoding", "chunked")]),
    "transfer-encoding in a request with a length": dict(more=[("transfer-encoding", "chunked"), ("content-length", "0")]),
    "te": dict(more=[("te", "gzip")]), "other host": dict(more=[("host", "other.example")]),
    "two hosts": dict(more=[("host", "h.example"), ("host", "h.example")]),
    "host with path": dict(without=[":authority"], more=[("host", "h.example/x")]),
    "user in authority": dict(without=[":authority"], more=[("host", "u@h.example")]),
    "length without body": dict(more=[("content-length", "5")]),
    "two lengths": dict(more=[("content-length", "0"), ("content-length", "5")]),
    "length that is no number": dict(more=[("content-length", "0x0")]),
    "negative length": dict(more=[("content-length", "-1")]), "signed length": dict(more=[("content-length", "+0")]),
    "length list": dict(more=[("content-length", "0, 0")]), "two routes": dict(more=[(ROUTE, "x-80")]),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_request_reaches_no_sandbox(client, gateway, backend, what):
    case = dict(MALFORMED[what])
    before, more = len(backend.seen), case.pop("more", [])
    pseudo = [field for field in plain(gateway, **case) if field[0].startswith(":")]
    regular = [field for field in plain(gateway, **case) if not field[0].startswith(":")]
    # Another pseudo-header field stands with the others, but for the one that is meant to come late.
    if what != "late pseudo":
        pseudo += [field for field in more if field[0].startswith(":")]
        more = [field for field in more if not field[0].startswith(":")]
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, block(pseudo + regular + more)))
    assert ending(client, 3) in (("reset", PROTOCOL_ERROR), 400)
    assert client.is_open and len(backend.seen) == before
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 5, block(plain(gateway, path="/kilobyte"))))
    assert client.status(5) == 200


@pytest.mark.parametrize("body", [b"123", b"123456"])
def test_a_body_that_is_not_as_long_as_it_says_is_never_whole(client, gateway, backend, body):
    fields = plain(gateway, ("content-length", "5"), method="POST", path="/malformed")
    client.send(frame(HEADERS, END_HEADERS, 3, block(fields)))
    client.send(frame(DATA, END_STREAM, 3, body))
    assert ending(client, 3) == ("reset", PROTOCOL_ERROR)
    assert client.is_open


@pytest.mark.parametrize("trailer", [(":path", "/x"), ("X-Upper", "1"), ("connection", "close"), ("x-a", "1\r\nx: 2")])
def test_malformed_trailers_end_the_stream(client, gateway, trailer):
    client.send(frame(HEADERS, END_HEADERS, 3, block(plain(gateway, method="POST"))))
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, block([trailer])))
    assert ending(client, 3) == ("reset", PROTOCOL_ERROR)


def test_a_protocol_that_is_not_served_is_said_to_be(client, gateway, backend):
    before = len(backend.seen)
    fields = plain(gateway, method="CONNECT")[:4] + [(":protocol", "connect-udp")] + plain(gateway)[4:]
    client.send(frame(HEADERS, END_HEADERS, 3, block(fields)))
    assert ending(client, 3) == 501 and len(backend.seen) == before


def test_bytes_that_cannot_be_kept_are_refused_and_others_kept(client, gateway, backend):
    """HTTP/2 here holds values as text: what is not UTF-8 would reach the sandbox as something else."""
    before = len(backend.seen)
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, block(plain(gateway) + [("x-name", b"caf\xe9")])))
    assert ending(client, 3) == 400 and len(backend.seen) == before
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 5, block(plain(gateway) + [("x-name", "café".encode())])))
    assert ending(client, 5) == 200 and len(backend.seen) == before + 1
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 7, block(plain(gateway, method="HEAD") + [("x-name", b"caf\xe9")])))
    assert ending(client, 7) == 400 and not client.bodies.get(7)


def test_plain_connect_is_refused(client, gateway, backend):
    before = len(backend.seen)
    fields = [(":method", "CONNECT"), (":authority", "h.example:443"), (ROUTE, gateway.route)]
    client.send(frame(HEADERS, END_HEADERS, 3, block(fields)))
    assert ending(client, 3) == 400 and len(backend.seen) == before


BROKEN = {
    "even stream": frame(HEADERS, END_STREAM | END_HEADERS, 4, b"\x82"),
    "data on an idle stream": frame(DATA, 0, 7, b"x"),
    "data on the connection": frame(DATA, 0, 0, b"x"),
    "reset of an idle stream": frame(RST, 0, 9, b"\0\0\0\0"),
    "settings on a stream": frame(SETTINGS, 0, 3),
    "settings of a wrong size": frame(SETTINGS, 0, 0, b"12345"),
    "window beyond 2^31": frame(SETTINGS, 0, 0, b"\x00\x04\xff\xff\xff\xff"),
    "ping of a wrong size": frame(PING, 0, 0, b"1234567"),
    "push from a client": frame(PUSH, END_HEADERS, 3, b"\0\0\0\2\x82"),
    "lonely continuation": frame(CONTINUATION, END_HEADERS, 3, b"\x82"),
    "something between headers and continuation":
        frame(HEADERS, 0, 3, b"\x82") + frame(PING, 0, 0, b"12345678"),
    "compression of nothing": frame(HEADERS, END_STREAM | END_HEADERS, 3, b"\xff\xff\xff\xff\xff\xff"),
    "index beyond the table": frame(HEADERS, END_STREAM | END_HEADERS, 3, b"\xfe"),
    "frame beyond the limit": frame(DATA, 0, 3, bytes(20000)),
    "connection window beyond 2^31": frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "empty name": frame(HEADERS, END_STREAM | END_HEADERS, 3, b"\x82\x86\x84\x41\x01h\x00\x00\x011"),
    "stream depends on itself": frame(PRIORITY, 0, 3, b"\0\0\0\3\x10"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_the_protocol_ends_the_connection(client, backend, what):
    before = len(backend.seen)
    client.send(BROKEN[what])
    assert client.goaway() and not client.is_open and len(backend.seen) == before


def test_a_preface_with_something_else_behind_it_ends_the_connection(gateway, backend):
    before = len(backend.seen)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=15) as raw:
        raw.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n" + b"x" * 100)
        came = b""
        while data := raw.recv(65536):
            came += data
    assert b"HTTP/1.1" not in came and len(backend.seen) == before
