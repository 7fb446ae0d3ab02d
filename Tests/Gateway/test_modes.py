"""Routes in the path and in the host name, by configuration, with the endpoints that the official SDK is given."""

import socket
import time

import httpx
import pytest
from support.server import AllInOneServer
from support.inside import ECHO_SERVER, say, start_server

DOMAIN = "sandboxes.example"


@pytest.fixture(params=["uri", "wildcard"])
def routed(request, world, monkeypatch):
    """A server in one of the modes, and that mode; names of the wildcard domain are this machine's."""
    server = AllInOneServer(world)
    address = f"{DOMAIN if request.param == 'wildcard' else '127.0.0.1'}:{server.gateway_port}"
    server.tables = f'[ingress.gateway]\naddress = "{address}"\n[ingress.gateway.route]\nmode = "{request.param}"'
    server.write_configuration()
    resolve = socket.getaddrinfo

    def getaddrinfo(host, *more, **options):
        text = host.decode() if isinstance(host, bytes) else host
        return resolve("127.0.0.1" if text and text.endswith(DOMAIN) else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        yield server.start(), request.param
    finally:
        server.tear_down()


def get(endpoint, path):
    return httpx.get(f"http://{endpoint.endpoint}{path}", headers=endpoint.headers or {})


def test_the_sdk_runs_commands_and_reaches_servers(routed):
    server, mode = routed
    sandbox = server.create()
    assert say(sandbox, "echo inside") == "inside"
    start_server(sandbox, ECHO_SERVER)
    endpoint = sandbox.get_endpoint(8000)
    port = server.gateway_port
    expected = {"uri": f"127.0.0.1:{port}/{sandbox.id}/8000", "wildcard": f"{sandbox.id}-8000.{DOMAIN}:{port}"}
    assert endpoint.endpoint == expected[mode] and not endpoint.headers
    assert get(endpoint, "/a%2fb?x=1").json()["target"] == "/a%2fb?x=1"
    assert get(sandbox.get_endpoint(8001), "/").status_code == 502
    sandbox.close()


def test_a_signed_endpoint_opens_and_a_changed_one_does_not(routed):
    server, mode = routed
    sandbox = server.create(secure_access=True)
    start_server(sandbox, ECHO_SERVER)
    plain = sandbox.get_endpoint(8000)
    assert get(plain, "/x").json()["target"] == "/x"
    assert httpx.get(f"http://{plain.endpoint}/x").status_code == 401
    signed = sandbox.get_signed_endpoint(8000, int(time.time()) + 600)
    assert not signed.headers and get(signed, "/x").json()["target"] == "/x"
    other = signed.endpoint.replace("8000", "8001", 1)
    assert other != signed.endpoint and httpx.get(f"http://{other}/x").status_code == 401
    # With a true credential beside it, too.
    assert httpx.get(f"http://{other}/x", headers=plain.headers).status_code == 401
    sandbox.close()
