"""I10: every conversation is the same through the gateway as without it, byte for byte, to its end."""

import socket
import threading

import pytest
from doors import listen_inside
from websocket_cases import CASES, closing
from websocket_echo import EchoServer

HANDSHAKE = (b"GET /chat?x=1 HTTP/1.1\r\nHost: h\r\n%sUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://page.example\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")


@pytest.fixture(scope="module")
def echoes(doors):
    """The same server in the sandbox, behind the gateway, and on loopback with nothing in front."""
    inside = EchoServer(listen_inside(doors.server, doors.sandbox.id))
    near = socket.socket()
    near.bind(("127.0.0.1", 0))
    near.listen(64)
    outside = EchoServer(near)
    yield inside, outside
    inside.close()
    outside.close()


def converse(address, case, to=b""):
    """The status of the handshake, and everything that came after it."""
    with socket.create_connection(address, timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(HANDSHAKE % to)
        came = b""
        while b"\r\n\r\n" not in came:
            data = client.recv(65536)
            assert data, came
            came += data
        head, _, came = came.partition(b"\r\n\r\n")
        # Both directions at once: a large echo comes back while the rest is still sent.
        sender = threading.Thread(target=send, args=(client, case))
        sender.start()
        try:
            while data := client.recv(1 << 20):
                came += data
            ended = "closed"
        except ConnectionResetError:
            ended = "reset"
        client.close()
        sender.join()
    return head.split(b" ")[1], came, ended


def send(client, case):
    try:
        for data, size in case.steps:
            for at in range(0, len(data), size or len(data)):
                client.sendall(data[at:at + (size or len(data))])
        if case.closes:
            client.sendall(closing(1000))
    except OSError:
        pass


def test_the_cases_are_many_and_each_has_a_number_of_its_own():
    assert len(CASES) > 250 and len({case.number for case in CASES}) == len(CASES)
    assert {case.number.split(".")[0].split(" ")[0] for case in CASES} == {"1", "2", "3", "4", "5", "6", "7", "9", "10"}


@pytest.mark.parametrize("section", ["1", "2", "3", "4", "5", "6", "7", "9", "10"])
def test_a_conversation_is_the_same_through_the_gateway(doors, echoes, section):
    inside, outside = echoes
    to = f"OpenSandbox-Ingress-To: {doors.sandbox.id}-{inside.port}\r\n".encode()
    for case in [case for case in CASES if case.number.split(".")[0].split(" ")[0] == section]:
        direct = converse(("127.0.0.1", outside.port), case)
        through = converse(doors.address, case, to)
        assert direct[0] == b"101" and direct[1], case.number
        assert through == direct, (case.number, direct[1][:100], through[1][:100])


def test_the_origin_reaches_the_sandbox_and_the_route_does_not(doors, echoes):
    inside, _ = echoes
    to = f"OpenSandbox-Ingress-To: {doors.sandbox.id}-{inside.port}\r\n".encode()
    assert converse(doors.address, CASES[0], to)[0] == b"101"
    headers = inside.requests[-1]
    assert headers["origin"] == "http://page.example" and "opensandbox-ingress-to" not in headers


@pytest.mark.parametrize("broken, status", [
    (lambda text: text.replace(b"Connection: Upgrade\r\n", b""), 400),
    (lambda text: text.replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""), 400),
    (lambda text: text.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n\x81\x00"), 400),
    (lambda text: text.replace(b"Version: 13", b"Version: 12"), 426),
])
def test_a_wrong_handshake_opens_no_tunnel(doors, echoes, broken, status):
    inside, _ = echoes
    to = f"OpenSandbox-Ingress-To: {doors.sandbox.id}-{inside.port}\r\n".encode()
    with socket.create_connection(doors.address, timeout=20) as client:
        client.sendall(broken(HANDSHAKE % to))
        came = b""
        while data := client.recv(65536):
            came += data
    assert came.startswith(b"HTTP/1.1 ") and came[9:12] != b"101" and int(came[9:12]) >= 400
    assert came.startswith(b"HTTP/1.1 %d " % status), came
