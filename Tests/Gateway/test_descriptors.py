"""Descriptors are many, and when they are all used the gateway goes on."""

import resource
import socket

import httpx
import pytest
from separate import SeparateGateway
from soak import descriptors
from support.waiting import answers, eventually

WANTED = 1 << 16


@pytest.fixture
def gateway(server, doors):
    gateway = SeparateGateway(server, "uri")
    try:
        yield gateway.start()
    finally:
        gateway.stop()


def test_every_program_asks_for_as_many_as_it_gets(server, gateway):
    granted = max(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 0)
    for process in (server.process, gateway.process):
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        assert soft >= min(WANTED, granted) and soft in (WANTED, hard)


def test_when_none_is_left_the_gateway_goes_on_as_soon_as_there_is_one(doors, gateway):
    url = f"http://127.0.0.1:{gateway.port}/{doors.sandbox.id}/{doors.recorder().port}/x"
    assert httpx.get(url).status_code == 200
    pid = gateway.process.pid
    limit = descriptors(pid) + 30
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
    crowd = [socket.create_connection(gateway.address) for _ in range(100)]
    eventually(lambda: descriptors(pid) >= limit - 1, what="the last descriptor")
    # Who is in is told the truth where no connection to the sandbox can be had.
    crowd[0].settimeout(20)
    crowd[0].sendall(f"GET /{doors.sandbox.id}/{doors.recorder().port}/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    assert crowd[0].recv(65536)[9:12] in (b"200", b"502", b"503")
    for connection in crowd:
        connection.close()
    assert eventually(
        lambda: answers(lambda: httpx.get(url, timeout=5).status_code == 200, httpx.TransportError), within=30, what="service")
    assert gateway.process.poll() is None
