"""Servers that listen on a sandbox's own loopback only are reached by the gateway that has its network namespace."""

import json
import socket

import httpx
import pytest
from ingress_program import IngressProgram
from support.server import AllInOneServer, deny_but
from support.inside import ECHO_SERVER, fetches, say
from support.waiting import eventually
from test_gateway import WEBSOCKETS
from websockets.sync.client import connect

ROUTE = "OpenSandbox-Ingress-To"
LISTENERS = {"v4": ("127.0.0.1", 8001), "v6": ("::1", 8002), "all-v6": ("::", 8003)}
# Takes any protocol that it is asked for, and answers each line in capitals.
UPGRADING = r'''
import socketserver
class Upgrade(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip(): pass
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n")
        for line in self.rfile: self.wfile.write(line.upper())
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", 8005), Upgrade).serve_forever()
'''


def serve(sandbox, name, script, host, port):
    """Runs a script inside that listens at this address, and waits until it does."""
    sandbox.files.write_file(f"/tmp/{name}.py", script)
    family = "AF_INET6" if ":" in host else "AF_INET"
    probe = f"import socket; socket.socket(socket.{family}).connect(('{'::1' if ':' in host else host}', {port}))"
    say(sandbox, f"(setsid python3 /tmp/{name}.py >/dev/null 2>&1 &); "
                 f"for i in $(seq 200); do python3 -c \"{probe}\" 2>/dev/null && exit 0; sleep 0.05; done; exit 1", timeout=60)


def echo_at(host, port):
    family = "http.server.ThreadingHTTPServer.address_family = __import__('socket').AF_INET6\n" if ":" in host else ""
    only = "import socket; old = socket.socket.bind\n"
    if host == "::":
        only += "socket.socket.bind = lambda s, a: (s.setsockopt(41, 26, 1), old(s, a))[1]\n"
    return only + ECHO_SERVER.replace(
        'http.server.ThreadingHTTPServer(("0.0.0.0", 8000)', f'{family}http.server.ThreadingHTTPServer(("{host}", {port})')


@pytest.fixture(scope="module")
def inside(server):
    """A sandbox that may reach nothing, with servers on its loopback."""
    sandbox = server.create(network_policy=deny_but("one.example"))
    try:
        for name, (host, port) in LISTENERS.items():
            serve(sandbox, name, echo_at(host, port), host, port)
        serve(sandbox, "websockets", WEBSOCKETS.replace('"0.0.0.0", 8000', '"127.0.0.1", 8004'), "127.0.0.1", 8004)
        serve(sandbox, "upgrading", UPGRADING, "127.0.0.1", 8005)
        yield sandbox
    finally:
        sandbox.kill()
        sandbox.close()


def door(server, sandbox, port, way):
    if way == "gateway":
        return f"127.0.0.1:{server.gateway_port}", {ROUTE: f"{sandbox.id}-{port}"}
    return f"127.0.0.1:{server.port}/v1/sandboxes/{sandbox.id}/proxy/{port}", {}


@pytest.mark.parametrize("way", ["gateway", "proxy"])
@pytest.mark.parametrize("listener", LISTENERS)
def test_http_reaches_it(inside, server, listener, way):
    place, headers = door(server, inside, LISTENERS[listener][1], way)
    with httpx.Client(headers=headers) as kept:
        for number in range(3):
            answer = kept.post(f"http://{place}/a?n={number}", content=b"x" * 100_000)
            assert answer.status_code == 200 and len(answer.json()["body"]) == 100_000
            assert answer.json()["target"] == f"/a?n={number}" and answer.json()["peer"] in ("127.0.0.1", "::1")


@pytest.mark.parametrize("way", ["gateway", "proxy"])
def test_a_websocket_reaches_it(inside, server, way):
    place, headers = door(server, inside, 8004, way)
    with connect(f"ws://{place}/chat", additional_headers=headers, compression=None, max_size=None) as client:
        assert json.loads(client.recv(timeout=30))["path"] == "/chat"
        for message in ("text", b"\0\1", "y" * 70_000):
            client.send(message)
            assert client.recv(timeout=30) == message


def test_any_other_upgrade_reaches_it(inside, server):
    with socket.create_connection(("127.0.0.1", server.gateway_port), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: shout\r\n"
                       + f"{ROUTE}: {inside.id}-8005\r\n\r\n".encode())
        stream = client.makefile("rb")
        assert stream.readline().startswith(b"HTTP/1.1 101 ")
        while stream.readline().strip():
            pass
        client.sendall(b"hello\n")
        assert stream.readline() == b"HELLO\n"


def test_a_closed_port_says_so_and_the_rules_are_what_they_were(inside, server, world):
    for way in ("gateway", "proxy"):
        place, headers = door(server, inside, 8009, way)
        answer = httpx.get(f"http://{place}/", headers=headers)
        assert answer.status_code == 502 and answer.json()["code"] == "BACKEND_CONNECTION_FAILED"
        assert "0.0.0.0" not in answer.json()["message"]
    assert fetches(inside, "http://one.example/") and not fetches(inside, f"http://{world.two}/")


def test_it_needs_what_every_port_needs(create, server):
    sandbox = create(secure_access=True)
    serve(sandbox, "v4", echo_at("127.0.0.1", 8001), "127.0.0.1", 8001)
    place, headers = door(server, sandbox, 8001, "gateway")
    assert httpx.get(f"http://{place}/", headers=headers).status_code == 401
    endpoint = sandbox.get_endpoint(8001)
    assert httpx.get(f"http://{endpoint.endpoint}/", headers=endpoint.headers).status_code == 200


def test_what_listens_on_the_hosts_loopback_is_not_meant(inside, server):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        place, headers = door(server, inside, listener.getsockname()[1], "gateway")
        assert httpx.get(f"http://{place}/", headers=headers).status_code == 502


def listeners(sandbox):
    """Ports that something listens on, on loopback inside: the guard's own are among them."""
    lines = say(sandbox, "cat /proc/net/tcp").splitlines()
    return {int(line.split()[1].split(":")[1], 16) for line in lines
            if " 0A " in line and line.split()[1].startswith("0100007F:")}


def test_the_guards_own_listeners_are_nobodys_to_fill(create, server):
    """Who knows an id cannot take a sandbox's names away by holding the guard's connections."""
    sandbox = create(network_policy=deny_but("one.example"))
    ports = listeners(sandbox)
    assert ports
    script = ("import socket; s = socket.create_connection(('192.0.2.53', 53), 5); s.settimeout(5); "
              "q = bytes.fromhex('123401000001000000000000') + b'\\3two\\7example\\0\\0\\1\\0\\1'; "
              "s.sendall(len(q).to_bytes(2, 'big') + q); print(s.recv(4)[2:].hex())")
    held = []
    try:
        for port in ports:
            for _ in range(200):
                client = socket.create_connection(("127.0.0.1", server.gateway_port), timeout=20)
                client.sendall(f"GET / HTTP/1.1\r\nHost: h\r\n{ROUTE}: {sandbox.id}-{port}\r\n\r\n".encode())
                held.append(client)
        for _ in range(5):
            assert say(sandbox, f'python3 -c "{script}"').strip() == "1234"
        for client in held:
            assert client.recv(12) == b"HTTP/1.1 502"
    finally:
        for client in held:
            client.close()


def advised(answer):
    return answer.status_code == 502 and answer.json()["code"] == "BACKEND_CONNECTION_FAILED" \
        and "0.0.0.0" in answer.json()["message"]


def test_a_gateway_without_the_namespace_says_what_to_do(inside, server):
    gateway = IngressProgram(server)
    try:
        eventually(gateway.is_ready, what="the directory's state")
        assert advised(gateway.get({ROUTE: f"{inside.id}-8001"}))
    finally:
        gateway.stop()


def test_the_setting_turns_it_off(world):
    server = AllInOneServer(world, ingress={"reach_loopback": "false"})
    try:
        server.start()
        sandbox = server.create()
        serve(sandbox, "v4", echo_at("127.0.0.1", 8001), "127.0.0.1", 8001)
        for way in ("gateway", "proxy"):
            place, headers = door(server, sandbox, 8001, way)
            assert advised(httpx.get(f"http://{place}/", headers=headers))
        sandbox.close()
    finally:
        server.tear_down()
