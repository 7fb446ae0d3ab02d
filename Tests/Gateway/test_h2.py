"""HTTP/2 in front, HTTP/1.1 behind: what passes, and how (RFC 9113)."""

import hashlib
import json
import subprocess

import h2.events
import pytest
from support.waiting import eventually
from support_h2 import ROUTE, Backend, Client, Gateway, settled

LARGE = 3_000_000


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
    with Client(gateway, tls=request.param == "tls") as client:
        yield client


def curl(gateway, *words, text=True):
    done = subprocess.run(["curl", "-sS", "-k", "--max-time", "30", "-H", f"{ROUTE}: {gateway.route}", *words],
                          capture_output=True, text=text, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("words", [
    ("--http2-prior-knowledge", "plain", "2", "http"), ("--http2", "secure", "2", "https"),
    ("--http1.1", "plain", "1.1", "http"), ("--http1.1", "secure", "1.1", "https")])
def test_curl_is_served_in_every_protocol(gateway, words):
    option, door, version, scheme = words
    answer = curl(gateway, option, "-w", "\n%{http_version}", "-d", "sent", f"{getattr(gateway, door)}/a%20b?x=%2F&y")
    body, _, spoken = answer.rpartition("\n")
    seen = json.loads(body)
    assert spoken == version and (seen["target"], seen["body"]) == ("/a%20b?x=%2F&y", "sent")
    fields = dict(seen["headers"])
    assert fields["x-forwarded-proto"] == scheme and fields["x-forwarded-for"] == "127.0.0.1"
    assert fields["host"] == getattr(gateway, door).partition("//")[2] and ROUTE not in fields


def test_an_upgrade_to_h2c_is_not_taken(gateway):
    answer = curl(gateway, "-i", "--http2", f"{gateway.plain}/echo")
    assert answer.startswith("HTTP/1.1 200") and "101" not in answer.split("\n")[0]
    assert not {"upgrade", "http2-settings"} & {name for name, _ in json.loads(answer.split("\n\n")[1])["headers"]}


def test_nghttp_multiplexes_on_one_connection(gateway):
    done = subprocess.run(
        ["nghttp", "-v", "--no-dep", "-H", f"{ROUTE}: {gateway.route}", *[f"{gateway.plain}/echo?{n}" for n in range(8)]],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.count(":status: 200") == 8, done.stdout + done.stderr
    assert "SETTINGS_ENABLE_CONNECT_PROTOCOL" in done.stdout.upper() or "0x08" in done.stdout


def test_streams_do_not_wait_for_each_other(client, backend):
    slow = client.request("/events")
    fast = [client.request(f"/echo?{n}") for n in range(50)]
    for number, stream in enumerate(fast):
        status, _, body = client.response(stream)
        assert status == 200 and json.loads(body)["target"] == f"/echo?{number}"
    assert not client.of(h2.events.StreamEnded, slow)
    backend.events.put("one")
    client.until(lambda: b"data: one\n\n" in client.body(slow), "the event")
    backend.events.put(None)
    assert client.response(slow)[0] == 200


def test_events_pass_as_they_are_sent(client, backend):
    stream = client.request("/events")
    for text in ("one", "two", "three"):
        backend.events.put(text)
        client.until(lambda: client.body(stream).endswith(f"data: {text}\n\n".encode()), text)
        assert not client.of(h2.events.StreamEnded, stream)
    backend.events.put(None)
    _, head, _ = client.response(stream)
    assert head["content-type"] == "text/event-stream" and "transfer-encoding" not in head


def test_large_bodies_pass_both_ways(client):
    body = bytes(range(256)) * (LARGE // 256)
    status, _, answer = client.response(client.request(method="POST", body=body))
    seen = json.loads(answer)
    assert status == 200 and seen["sha256"] == hashlib.sha256(body).hexdigest()
    assert ("transfer-encoding", "chunked") in [tuple(each) for each in seen["headers"]]
    _, head, answer = client.response(client.request(f"/large?n={LARGE}"))
    assert len(answer) == LARGE and head["content-length"] == str(LARGE)
    expected = (bytes(range(256)) * 256 * (LARGE // 65536 + 1))[:LARGE]
    assert hashlib.sha256(answer).digest() == hashlib.sha256(expected).digest()


def test_a_body_with_a_length_keeps_it(client):
    stream = client.request(method="PUT", more=[("content-length", "4")], body=b"four")
    seen = json.loads(client.response(stream)[2])
    fields = dict(seen["headers"])
    assert fields["content-length"] == "4" and "transfer-encoding" not in fields and seen["body"] == "four"


def test_what_the_client_does_not_read_is_not_fetched(gateway, backend):
    with Client(gateway, window=70_000) as client:
        client.reads = False
        before = backend.written
        stream = client.request(f"/large?n={100_000_000}")
        client.until(lambda: len(client.body(stream)) >= 65_535, "the window's worth")
        # Socket buffers and the gateway's own take some, and then nothing more.
        assert settled(lambda: backend.written) - before < 40_000_000 and client.is_open
        # Other streams of the connection have windows of their own.
        client.h2.increment_flow_control_window(1_000_000)
        assert client.response(client.request("/kilobyte"))[2] == b"k" * 1024


def test_what_the_sandbox_does_not_read_is_not_taken(gateway, backend):
    backend.gate.clear()
    with Client(gateway) as client:
        stream = client.request("/unread", "POST", ends=False)
        sent = 0
        client.socket.settimeout(1)
        try:
            while sent < 50_000_000:
                size = min(client.h2.local_flow_control_window(stream), client.h2.max_outbound_frame_size)
                if size:
                    client.h2.send_data(stream, bytes(size))
                    sent += size
                    client.flush()
                else:
                    client.step()
        except TimeoutError:
            pass
        assert 65_535 <= sent < 50_000_000
        # The connection lives on meanwhile.
        client.socket.settimeout(15)
        assert client.response(client.request("/kilobyte"))[0] == 200
        backend.gate.set()
        client.send(stream, b"", ends=True)
        assert client.response(stream)[2] == str(sent).encode()


def test_trailers_pass_both_ways(client, backend):
    backend.trailers.clear()
    stream = client.request("/trailers", "POST", more=[("te", "trailers")], ends=False)
    client.h2.send_data(stream, b"body")
    client.h2.send_headers(stream, [("x-checked", "7"), ("host", "forged")], end_stream=True)
    client.flush()
    status, head, body = client.response(stream)
    assert (status, body, head["trailer"]) == (200, b"body", "X-Sum")
    [trailers] = client.of(h2.events.TrailersReceived, stream)
    assert trailers.headers == [("x-sum", "42")] or dict(trailers.headers) == {"x-sum": "42"}
    assert backend.trailers == ["x-checked: 7"]


def test_a_body_may_wait_for_100(client, backend):
    stream = client.request("/echo", "POST", more=[("expect", "100-continue"), ("content-length", "4")], ends=False)
    client.until(lambda: client.of(h2.events.InformationalResponseReceived, stream), "100")
    client.send(stream, b"body")
    assert json.loads(client.response(stream)[2])["body"] == "body"


def test_early_hints_pass(client):
    stream = client.request("/early")
    assert client.response(stream)[2] == b"late"
    [hints] = client.of(h2.events.InformationalResponseReceived, stream)
    assert dict(hints.headers)[":status"] == "103" and "link" in dict(hints.headers)


def test_head_has_a_length_and_no_body(client):
    status, head, body = client.response(client.request("/kilobyte", "HEAD"))
    assert (status, head["content-length"], body) == (200, "1024", b"")


def test_a_stream_that_is_reset_ends_its_exchange_and_no_other(client, backend):
    before = backend.abandoned
    stream = client.request("/waiting")
    eventually(lambda: backend.waiting > 0 or client.step() is None, what="the request")
    client.h2.reset_stream(stream)
    client.flush()
    eventually(lambda: backend.abandoned > before, what="the end of the exchange")
    assert client.response(client.request("/kilobyte"))[0] == 200


def test_an_answer_before_the_body_ends_asks_to_stop(client):
    stream = client.request("/refusing", "POST", ends=False)
    client.h2.send_data(stream, bytes(1000))
    client.flush()
    status, _, body = client.response(stream)
    assert (status, body) == (413, b"large") and client.reset_of(stream) == 0
    assert client.response(client.request("/kilobyte"))[0] == 200


def test_a_broken_response_is_not_taken_for_a_whole_one(client):
    stream = client.request("/broken")
    assert client.reset_of(stream) == 2
    assert client.body(stream) == b"half" and not client.of(h2.events.StreamEnded, stream)
    assert client.response(client.request("/kilobyte"))[0] == 200


def test_errors_of_the_gateway_have_a_code(client):
    stream = client.h2.get_next_available_stream_id()
    fields = [field for field in client.fields() if field[0] != ROUTE] + [(ROUTE, "nobody-80")]
    client.h2.send_headers(stream, fields, end_stream=True)
    client.flush()
    status, head, body = client.response(stream)
    assert status == 404 and json.loads(body)["code"] == "SANDBOX_NOT_FOUND" and "connection" not in head


def test_crumbs_of_a_cookie_are_joined(client):
    stream = client.request(more=[("cookie", "a=1"), ("cookie", "b=2")])
    seen = json.loads(client.response(stream)[2])
    assert [value for name, value in seen["headers"] if name == "cookie"] == ["a=1; b=2"]


def test_h2load_gets_an_answer_to_every_request(gateway):
    for door in (gateway.plain, gateway.secure):
        done = subprocess.run(
            ["h2load", "-n", "2000", "-c", "4", "-m", "50", "-H", f"{ROUTE}: {gateway.route}", f"{door}/kilobyte"],
            capture_output=True, text=True, timeout=120)
        assert "2000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout + done.stderr
