"""gRPC through the gateway: a real server and a real client (PyPI's grpcio), calls of one message and streams of them."""

import pathlib
import queue
import socket
import subprocess
import sys
import threading

import grpc
import httpx
import pytest
from doors import listen_inside, network_of
from http2_server import HTTP2Server
from support.inside import ECHO_SERVER, start_server
from support.waiting import eventually

ROUTE = "opensandbox-ingress-to"
SERVER = str(pathlib.Path(__file__).with_name("grpc_server.py"))


class Calls:
    """Calls of the server's methods, through the gateway."""

    def __init__(self, server, sandbox, port, *metadata):
        self.channel = grpc.insecure_channel(
            f"127.0.0.1:{server.gateway_port}",
            options=[("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)])
        self.metadata = ((ROUTE, f"{sandbox}-{port}"), *metadata)

    def one(self, method, request=b"", *metadata, timeout=30):
        call = self.channel.unary_unary(f"/test.Plain/{method}")
        return call.with_call(request, metadata=self.metadata + metadata, timeout=timeout)

    def many(self, method, request=b"", timeout=30):
        return self.channel.unary_stream(f"/test.Plain/{method}")(request, metadata=self.metadata, timeout=timeout)

    def send(self, method, requests, timeout=30):
        return self.channel.stream_unary(f"/test.Plain/{method}")(requests, metadata=self.metadata, timeout=timeout)

    def talk(self, method, requests, timeout=30):
        return self.channel.stream_stream(f"/test.Plain/{method}")(requests, metadata=self.metadata, timeout=timeout)


class Served:
    """A sandbox with a gRPC server in its network namespace."""

    def __init__(self, server, host):
        self.server, self.sandbox = server, server.create()
        self.process = subprocess.Popen(
            ["nsenter", f"--net={network_of(server, self.sandbox.id)}", sys.executable, SERVER, host],
            stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.calls = Calls(server, self.sandbox.id, self.port)

    def close(self):
        self.calls.channel.close()
        self.process.kill()
        self.process.wait()
        self.sandbox.kill()
        self.sandbox.close()


@pytest.fixture(scope="module", params=["0.0.0.0", "127.0.0.1"], ids=["address", "loopback"])
def served(server, request):
    served = Served(server, request.param)
    try:
        yield served
    finally:
        served.close()


@pytest.fixture
def calls(served):
    return served.calls


def error_of(work):
    with pytest.raises(grpc.RpcError) as error:
        work()
    return error.value.code(), error.value.details()


def test_a_call_and_its_metadata_pass_in_both_directions(calls, served):
    answer, call = calls.one("Unary", b"hello", ("x-own", "a b"), ("x-own-bin", b"\x01\xfe"))
    assert answer.startswith(b"hello|") and b"x-own=a b" in answer and b"x-own-bin=b'\\x01\\xfe'" in answer
    assert ROUTE.encode() not in answer
    first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert first["x-first"] == "1" and first["x-raw-bin"] == b"\0\xff" and last["x-last"] == "2"


@pytest.mark.parametrize("size", [0, 1, 16_384, 65_536, 3_000_000])
def test_messages_of_any_size_pass(calls, size):
    answer, _ = calls.one("Unary", b"x" * size)
    assert answer.partition(b"|")[0] == b"x" * size


def test_a_status_passes_with_its_message(calls):
    assert error_of(lambda: calls.one("Fail")) == (grpc.StatusCode.FAILED_PRECONDITION, "not now: 50% ü")
    stream = calls.many("FailLate")
    assert next(stream) == b"one"
    assert error_of(lambda: next(stream)) == (grpc.StatusCode.DATA_LOSS, "half way")
    code, _ = error_of(lambda: calls.one("NoSuchMethod"))
    assert code is grpc.StatusCode.UNIMPLEMENTED


def test_streams_pass_in_each_direction(calls):
    assert list(calls.many("CountUp", b"2000")) == [str(number).encode() for number in range(2000)]
    assert list(calls.many("CountUp", b"0")) == []
    assert calls.send("AddUp", (str(number).encode() for number in range(1000))) == b"499500"


def test_both_sides_talk_in_turn(calls):
    """Each message is answered before the next one is sent: nothing is held back on the way."""
    said = queue.Queue()
    answers = calls.talk("Echo", iter(said.get, None))
    for number in range(20):
        said.put(b"%d" % number)
        assert next(answers) == b"%d" % number
    said.put(None)
    assert list(answers) == [] and answers.code() is grpc.StatusCode.OK


def test_many_calls_at_once_do_not_mix(calls):
    def work(number):
        for _ in range(5):
            answer, _ = calls.one("Unary", b"%d" % number * 50)
            assert answer.partition(b"|")[0] == b"%d" % number * 50
            assert len(list(calls.many("CountUp", b"20"))) == 20
        done.append(number)

    done = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == list(range(40))


def test_a_call_that_is_cancelled_or_late_ends_inside(calls):
    stream = calls.many("Wait", b"cancelled")
    assert next(stream) == b"waiting"
    stream.cancel()
    late = calls.many("Wait", b"late", timeout=1)
    assert next(late) == b"waiting"
    code, _ = error_of(lambda: next(late))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    eventually(lambda: {b"cancelled", b"late"} <= set(calls.one("Ended")[0].split(b",")), what="the ends inside")


def test_a_port_that_has_spoken_http2_gets_it_for_other_requests(server, sandbox):
    backend = HTTP2Server(listen_inside(server, sandbox.id))
    calls = Calls(server, sandbox.id, backend.port)
    try:
        def get(path):
            with httpx.Client(http1=False, http2=True) as client:
                return client.get(server.gateway + path, headers={ROUTE: f"{sandbox.id}-{backend.port}"})

        # The server has nothing else, but nobody knows.
        assert get("/before").status_code == 502
        assert calls.one("Any", b"")[0] == b""
        for _ in range(6):
            answer = get("/after")
            assert answer.status_code == 200 and answer.text == "GET /after by HTTP/2", answer.text
        assert httpx.get(server.gateway, headers={ROUTE: f"{sandbox.id}-{backend.port}"}).status_code == 502
    finally:
        calls.channel.close()
        backend.close()


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


INTERIM = b"\x08\x03103"  # :status 103, not remembered
FLOODS = {
    "interim heads": frame(1, 4, 1, INTERIM),
    # Each names a field of 3,900 bytes a dozen times, with a byte each.
    "large interim heads": frame(1, 4, 1, INTERIM + b"\xbe" * 12),
    "window updates": frame(8, 0, 1, b"\0\0\0\1"), "unknown frames": frame(0x77, 0, 0), "pings": frame(6, 0, 0, b"\0" * 8),
}


class Flooding:
    """Answers the first request of a connection with frames that cost it nothing, until the connection ends."""

    most = 500_000

    def __init__(self, listener, flood):
        self.listener, self.flood, self.sent, self.ended = listener, flood, 0, threading.Event()
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        client, _ = self.listener.accept()
        with client, client.makefile("rb") as stream:
            stream.read(24)
            client.sendall(frame(4, 0, 0))
            kind = None
            while kind != 1:
                head = stream.read(9)
                kind = head[3]
                stream.read(int.from_bytes(head[:3], "big"))
                if kind == 4 and not head[4]:
                    client.sendall(frame(4, 1, 0))
            client.settimeout(20)
            try:
                client.sendall(frame(1, 4, 1, INTERIM + b"\x40\1a\x7f\xbd\x1d" + b"v" * 3900))
                while self.sent < self.most:
                    client.sendall(self.flood * 100)
                    self.sent += 100
            except (ConnectionError, TimeoutError):
                pass
        self.ended.set()


@pytest.mark.parametrize("flood", FLOODS)
def test_a_server_that_floods_the_gateway_is_cut_off(server, sandbox, flood):
    """Also where the client reads nothing: what it is sent has no window."""
    backend = Flooding(listen_inside(server, sandbox.id), FLOODS[flood])
    fields = {":method": "POST", ":scheme": "http", ":path": "/test.Plain/Any", ":authority": "h", "te": "trailers",
              "content-type": "application/grpc", ROUTE: f"{sandbox.id}-{backend.port}"}
    head = b"".join(b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
                    for name, value in fields.items())
    with backend.listener, socket.create_connection(("127.0.0.1", server.gateway_port), timeout=20) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 4, 1, head))
        assert backend.ended.wait(60)
        assert backend.sent < backend.most


def test_an_error_of_the_gateways_is_a_status(served, create, server):
    def ask(sandbox, port, *metadata):
        calls = Calls(server, sandbox, port, *metadata)
        try:
            return error_of(lambda: calls.one("Unary"))
        finally:
            calls.channel.close()

    code, details = ask(served.sandbox.id, 9)
    assert code is grpc.StatusCode.UNAVAILABLE and "BACKEND_CONNECTION_FAILED" in details
    code, details = ask("00000000-0000-4000-8000-000000000000", 80)
    assert code is grpc.StatusCode.UNIMPLEMENTED and "SANDBOX_NOT_FOUND" in details
    closed = create(secure_access=True)
    code, details = ask(closed.id, 80)
    assert code is grpc.StatusCode.UNAUTHENTICATED and "SECURE_ACCESS" in details
    # A server that speaks HTTP/1.1 only.
    start_server(closed, ECHO_SERVER)
    credential = closed.get_endpoint(8000).headers["OpenSandbox-Secure-Access"]
    code, details = ask(closed.id, 8000, ("opensandbox-secure-access", credential))
    assert code is grpc.StatusCode.UNAVAILABLE and "BACKEND_NOT_HTTP2" in details


def test_a_server_that_ends_is_an_error_and_its_successor_is_reached(server):
    served = Served(server, "0.0.0.0")
    try:
        stream = served.calls.many("Wait", b"cut")
        assert next(stream) == b"waiting"
        served.process.kill()
        code, _ = error_of(lambda: next(stream))
        assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
        code, _ = error_of(lambda: served.calls.one("Unary"))
        assert code is grpc.StatusCode.UNAVAILABLE
    finally:
        served.close()


def test_a_call_ends_with_the_sandbox(server):
    served = Served(server, "0.0.0.0")
    try:
        stream = served.calls.many("Wait", b"gone")
        assert next(stream) == b"waiting"
        served.sandbox.kill()
        code, _ = error_of(lambda: next(stream))
        assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
        code, details = error_of(lambda: served.calls.one("Unary"))
        assert code is grpc.StatusCode.UNIMPLEMENTED and "SANDBOX_NOT_FOUND" in details
    finally:
        served.calls.channel.close()
        served.process.kill()
        served.process.wait()
        served.sandbox.close()
