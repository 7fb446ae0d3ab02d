"""WebSockets over HTTP/2 (RFC 8441), opened at the sandbox by the handshake of HTTP/1.1."""

import h2.events
import h2.settings
import pytest
from support.waiting import eventually
from support_h2 import ROUTE, Backend, Client, Gateway


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


@pytest.fixture(params=["h2c", "tls"])
def client(gateway, request):
    with Client(gateway, tls=request.param == "tls", checks=False) as client:
        client.response(client.request("/kilobyte"))
        yield client


def connect(client, path="/ws", more=(), first=None):
    stream = client.h2.get_next_available_stream_id()
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "h.example"),
              (":path", path), (ROUTE, client.gateway.route), ("sec-websocket-version", "13"), ("origin", "https://h"),
              ("sec-websocket-protocol", "chat"), *more]
    client.h2.send_headers(stream, fields)
    if first:
        client.h2.send_data(stream, first)
    client.flush()
    return stream


def opened(client, stream):
    client.until(lambda: client.status(stream), "the answer")
    [answer] = client.of(h2.events.ResponseReceived, stream)
    return dict(answer.headers)


def says(client, stream, text):
    client.until(lambda: client.body(stream).endswith(text), text)
    return client.body(stream)


def test_the_gateway_says_that_it_can(client):
    assert client.h2.remote_settings.enable_connect_protocol == 1


def test_a_web_socket_is_relayed_both_ways(client, backend):
    stream = connect(client)
    head = opened(client, stream)
    assert head[":status"] == "200" and head["sec-websocket-protocol"] == "chat"
    assert not {"sec-websocket-accept", "upgrade", "connection"} & set(head)
    says(client, stream, b"welcome")
    for text in (b"\x81one", b"two"):
        client.send(stream, text, ends=False)
        says(client, stream, b"[" + text + b"]")
    seen = dict(backend.requests("/ws")[-1][2])
    assert backend.requests("/ws")[-1][0] == "GET" and len(seen["sec-websocket-key"]) == 24
    assert (seen["upgrade"], seen["connection"], seen["sec-websocket-version"]) == ("websocket", "upgrade", "13")
    assert seen["origin"] == "https://h" and "transfer-encoding" not in seen and ROUTE not in seen
    # The end of the client's direction passes, and what the sandbox says to it.
    client.send(stream, b"", ends=True)
    client.until(lambda: client.of(h2.events.StreamEnded, stream), "the end")
    assert client.body(stream).endswith(b"bye")
    assert client.response(client.request("/kilobyte"))[0] == 200


def test_what_comes_before_the_sandbox_has_agreed_is_not_lost(client):
    stream = connect(client, first=b"early")
    says(client, stream, b"[early]")


def test_many_share_a_connection(client):
    streams = [connect(client) for _ in range(20)]
    for number, stream in enumerate(streams):
        says(client, stream, b"welcome")
        client.send(stream, b"%d" % number, ends=False)
    for number, stream in enumerate(streams):
        says(client, stream, b"[%d]" % number)


def test_a_key_that_a_client_sends_is_not_used(client, backend):
    stream = connect(client, more=[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")])
    assert opened(client, stream)[":status"] == "200"
    assert dict(backend.requests("/ws")[-1][2])["sec-websocket-key"] != "dGhlIHNhbXBsZSBub25jZQ=="


def test_an_agreement_that_proves_nothing_is_none(client):
    assert opened(client, connect(client, "/ws-wrong"))[":status"] == "502"


def test_a_refusal_reaches_the_client(client):
    assert opened(client, connect(client, "/ws-refused"))[":status"] == "403"


def test_an_ordinary_success_is_not_taken_for_a_web_socket(client):
    stream = connect(client, "/kilobyte")
    assert opened(client, stream)[":status"] == "403"
    client.until(lambda: client.of(h2.events.StreamEnded, stream))
    assert b"BACKEND_UPGRADE_REFUSED" in client.body(stream)


def test_a_reset_ends_the_sandbox_s_connection(client, backend):
    before = backend.ended
    stream = connect(client)
    says(client, stream, b"welcome")
    client.h2.reset_stream(stream)
    client.flush()
    eventually(lambda: backend.ended > before, what="the end")
    assert client.response(client.request("/kilobyte"))[0] == 200


def test_the_end_of_the_connection_ends_the_sandbox_s(gateway, backend):
    before = backend.ended
    with Client(gateway, checks=False) as client:
        client.response(client.request("/kilobyte"))
        stream = connect(client)
        says(client, stream, b"welcome")
    eventually(lambda: backend.ended > before, what="the end")


def test_a_large_stream_passes_both_ways(client):
    stream = connect(client)
    says(client, stream, b"welcome")
    sent = 0
    while sent < 1_000_000:
        client.send(stream, b"x" * 10_000, ends=False)
        sent += 10_000
    client.until(lambda: client.body(stream).count(b"x") == sent, "all of it")
