"""What one connection of HTTP/2 may ask of the gateway, and that others are served meanwhile."""

import h2.events
import hpack
import pytest
from support.waiting import eventually
from support_h2 import ROUTE, Client, RawClient, backend, frame, gateway  # noqa: F401 (fixtures)

CALM = 11
END_STREAM, END_HEADERS = 1, 4


@pytest.fixture
def client(gateway):
    with RawClient(gateway) as client:
        yield client
    # Whatever was done to it, others are served.
    with Client(gateway) as other:
        assert other.response(other.request("/kilobyte"))[0] == 200


def request(gateway, *more, path="/kilobyte", method="GET"):
    fields = [(":method", method), (":scheme", "http"), (":authority", "h.example"), (":path", path),
              (ROUTE, gateway.route), *more]
    return hpack.Encoder().encode(fields, huffman=False)


def headers(gateway, stream, *more, flags=END_STREAM | END_HEADERS, **options):
    return frame(1, flags, stream, request(gateway, *more, **options))


def test_rapid_resets_end_the_connection(client, gateway, backend):
    before = len(backend.requests("/rapid"))
    for stream in range(1, 2001, 2):
        client.send(headers(gateway, stream, path="/rapid") + frame(3, 0, stream, b"\0\0\0\x08"))
        if not client.is_open:
            break
    assert client.goaway() == CALM and not client.is_open
    assert len(backend.requests("/rapid")) - before < 300


FLOODS = {
    "ping": frame(6, 0, 0, b"12345678"), "settings": frame(4, 0, 0), "priority": frame(2, 0, 1, b"\0\0\0\0\x10"),
    "window": frame(8, 0, 0, b"\0\0\0\x01"), "goaway": frame(7, 0, 0, b"\0" * 8), "unknown": frame(0xBE, 0, 0, b"grease"),
    "priority update": frame(16, 0, 0, b"\0\0\0\x01u=1"),
}


@pytest.mark.parametrize("what", FLOODS)
def test_floods_of_control_frames_end_the_connection(client, what):
    for _ in range(20):
        client.send(FLOODS[what] * 100)
    assert client.goaway() == CALM and not client.is_open


def test_floods_on_a_stream_end_the_connection(client, gateway):
    client.send(headers(gateway, 1, flags=END_HEADERS, path="/unread", method="POST"))
    for _ in range(20):
        client.send(frame(8, 0, 1, b"\0\0\0\x01") * 100)
    assert client.goaway() == CALM and not client.is_open


def test_a_flood_in_pieces_is_one(client):
    flood = FLOODS["window"] * 2000
    for start in range(0, len(flood), 1000):
        client.send(flood[start:start + 1000])
    assert client.goaway() == CALM and not client.is_open


def test_who_tells_of_every_kilobyte_read_is_served(gateway):
    """Two thousand frames each for the stream's window and the connection's, and some of unknown types."""
    with RawClient(gateway) as client:
        client.send(frame(4, 0, 0, b"\0\x04\0\0\x04\0"))  # a window of 1 KiB
        client.send(FLOODS["unknown"] * 50 + headers(gateway, 1, path="/large?n=2048000"))
        told = 0
        while 1 not in client.ended and client.step():
            while told + 1024 <= len(client.bodies.get(1, b"")):
                told += 1024
                client.send(frame(8, 0, 1, b"\0\0\x04\0") + frame(8, 0, 0, b"\0\0\x04\0"))
        assert len(client.bodies[1]) == 2048000 and client.away is None and client.is_open


def test_a_block_of_endless_continuations_ends_the_connection(client, gateway, backend):
    client.send(headers(gateway, 1, flags=END_STREAM, path="/endless"))
    for number in range(200):
        client.send(frame(9, 0, 1, hpack.Encoder().encode([(f"x-{number}", "y")])))
    assert client.goaway() == CALM and not client.is_open and not backend.requests("/endless")


def test_empty_data_frames_without_end_end_the_connection(client, gateway):
    client.send(headers(gateway, 1, flags=END_HEADERS, path="/unread", method="POST") + frame(0, 0, 1) * 500)
    assert client.goaway() == CALM and not client.is_open


def test_more_streams_than_allowed_are_not_opened(client, gateway, backend):
    before = backend.waiting
    for stream in range(1, 301, 2):
        client.send(headers(gateway, stream, path="/waiting"))
    while client.is_open and client.away is None and not client.resets and client.step():
        pass
    assert client.away or client.resets
    assert backend.waiting - before <= 100


def test_malformed_requests_are_counted(client, gateway, backend):
    for stream in range(1, 1001, 2):
        client.send(headers(gateway, stream, ("connection", "close"), path="/malformed"))
    assert client.goaway() == CALM and not client.is_open and not backend.requests("/malformed")


def test_a_head_that_is_too_large_is_refused(client, gateway, backend):
    many = [hpack.NeverIndexedHeaderTuple("x-filler", "y" * 1000)] * 40
    whole = request(gateway, *many, path="/too-large")
    # The limit is in force when the client has heard of it.
    client.send(headers(gateway, 1))
    assert client.status(1) == 200
    pieces = [whole[i:i + 16000] for i in range(0, len(whole), 16000)]
    client.send(frame(1, END_STREAM, 3, pieces[0]) + b"".join(
        frame(9, END_HEADERS if index == len(pieces) - 2 else 0, 3, piece) for index, piece in enumerate(pieces[1:])))
    assert client.status(3) == 431 and client.is_open and not backend.requests("/too-large")


def test_a_small_block_does_not_become_a_large_head(client, gateway, backend):
    """A field of the table costs a byte each time it is named (a "bomb" of RFC 7541)."""
    encoder = hpack.Encoder()
    head = encoder.encode([(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", "/bomb"),
                           ("x-bomb", "y" * 3000)], huffman=False)
    again = encoder.encode([("x-bomb", "y" * 3000)])
    assert len(again) == 1
    client.send(frame(1, END_STREAM | END_HEADERS, 1, head + again * 10_000))
    assert client.goaway() not in (None, 0) and not client.is_open and not backend.requests("/bomb")


def test_windows_of_one_byte_do_not_keep_others_waiting(gateway, backend):
    with Client(gateway, window=1) as slow:
        slow.reads = False
        streams = [slow.request(f"/large?n={10_000_000}") for _ in range(20)]
        slow.until(lambda: all(len(slow.body(stream)) == 1 for stream in streams), "a byte of each")
        with Client(gateway) as other:
            assert other.response(other.request("/kilobyte"))[0] == 200
        for stream in streams:
            slow.h2.increment_flow_control_window(1, stream)
        slow.flush()
        slow.until(lambda: all(len(slow.body(stream)) == 2 for stream in streams), "another byte")
