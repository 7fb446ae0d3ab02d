"""How the outside reaches a sandbox: endpoints, signatures, credentials, WebSockets (docs/wire.md#endpoints)."""

import json
import time

import httpx
import pytest
from support.inside import ECHO_SERVER, headers_of, say, start_server
from support.waiting import eventually
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

ROUTE = "OpenSandbox-Ingress-To"
CREDENTIAL = "OpenSandbox-Secure-Access"


@pytest.fixture
def served(create):
    sandbox = create()
    start_server(sandbox, ECHO_SERVER)
    return sandbox


def get(endpoint, path="/", **headers):
    return httpx.get(f"http://{endpoint.endpoint}{path}", headers={**(endpoint.headers or {}), **headers})


def test_a_server_in_a_sandbox_answers_through_the_gateway(served, server):
    endpoint = served.get_endpoint(8000)
    assert endpoint.endpoint == f"127.0.0.1:{server.gateway_port}"
    assert endpoint.headers == {ROUTE: f"{served.id}-8000"}
    answer = get(endpoint, "/a%20b?x=%2F&y")
    assert answer.status_code == 200 and answer.json()["target"] == "/a%20b?x=%2F&y"
    assert httpx.get(server.gateway, headers={ROUTE: f"{served.id}-8000"}).status_code == 200


def test_a_body_goes_through_in_both_directions(served):
    endpoint = served.get_endpoint(8000)
    for content in (b"x" * 1_000_000, (piece for piece in [b"one", b"two"])):
        expected = 1_000_000 if isinstance(content, bytes) else None
        answer = httpx.post(f"http://{endpoint.endpoint}/", headers=endpoint.headers, content=content)
        if expected:
            assert len(answer.json()["body"]) == expected
        else:
            assert headers_of(answer)["transfer-encoding"] == ["chunked"]


def test_the_route_and_the_credential_do_not_reach_the_sandbox(create):
    sandbox = create(secure_access=True)
    start_server(sandbox, ECHO_SERVER)
    names = headers_of(get(sandbox.get_endpoint(8000))).keys()
    assert not {ROUTE.lower(), CREDENTIAL.lower()} & set(names)


def test_a_signed_endpoint_opens_until_it_expires(served):
    endpoint = served.get_signed_endpoint(8000, int(time.time()) + 3)
    assert get(endpoint).status_code == 200
    # The same URL a moment later: what waits here is the clock.
    eventually(lambda: get(endpoint).status_code == 401, what="the end of the signature")


def tampered(token):
    name, port, expires, signature = token.rsplit("-", 3)
    later = expires[:-1] + ("0" if expires[-1] != "0" else "1")
    wrong = ("0" if signature[0] != "0" else "1") + signature[1:]
    return {
        "signature": f"{name}-{port}-{expires}-{wrong}", "expiry": f"{name}-{port}-{later}-{signature}",
        "port": f"{name}-8001-{expires}-{signature}", "key": f"{name}-{port}-{expires}-{signature[:-1]}z",
        "length": f"{name}-{port}-{expires}-{signature}0",
    }


@pytest.mark.parametrize("what", ["signature", "expiry", "port", "key"])
def test_a_tampered_signature_opens_nothing(served, what):
    endpoint = served.get_signed_endpoint(8000, int(time.time()) + 600)
    assert get(endpoint).status_code == 200
    answer = get(endpoint, **{ROUTE: tampered(endpoint.headers[ROUTE])[what]})
    assert answer.status_code == 401 and set(answer.json()) >= {"code", "message"}


def test_a_signature_of_one_sandbox_does_not_open_another(served, create):
    other = create()
    endpoint = served.get_signed_endpoint(8000, int(time.time()) + 600)
    swapped = endpoint.headers[ROUTE].replace(served.id, other.id)
    assert get(endpoint, **{ROUTE: swapped}).status_code == 401


def test_secure_access_needs_the_credential_or_a_signature(create, server):
    sandbox = create(secure_access=True)
    start_server(sandbox, ECHO_SERVER)
    plain, route = sandbox.get_endpoint(8000), f"{sandbox.id}-8000"
    assert get(plain).status_code == 200 and CREDENTIAL in plain.headers
    assert httpx.get(server.gateway, headers={ROUTE: route}).status_code == 401
    assert get(plain, **{CREDENTIAL: "wrong"}).status_code == 401
    signed = sandbox.get_signed_endpoint(8000, int(time.time()) + 600)
    assert CREDENTIAL not in signed.headers and get(signed).status_code == 200
    # A wrong credential is not made good by a valid signature.
    assert get(signed, **{CREDENTIAL: "wrong"}).status_code == 401
    other = create(secure_access=True)
    assert get(plain, **{CREDENTIAL: other.get_endpoint(8000).headers[CREDENTIAL]}).status_code == 401


def test_the_sdk_works_with_secure_access_both_ways(create):
    for proxied in (False, True):
        sandbox = create(secure_access=True, use_server_proxy=proxied)
        assert say(sandbox, "echo in") == "in"


@pytest.mark.parametrize("route, status", [
    ("", 400), ("nonsense", 400), ("00000000-0000-4000-8000-000000000000-8000", 404),
])
def test_a_route_to_nowhere_is_refused(server, route, status):
    answer = httpx.get(server.gateway, headers={ROUTE: route} if route else {})
    assert 400 <= answer.status_code < 500 and set(answer.json()) >= {"code", "message"}
    if status == 404:
        assert answer.status_code == 404


@pytest.mark.parametrize("port", ["0", "65536", "99999", "-1", "x"])
def test_a_route_to_no_port_is_refused(served, server, port):
    answer = httpx.get(server.gateway, headers={ROUTE: f"{served.id}-{port}"})
    assert 400 <= answer.status_code < 500 and set(answer.json()) >= {"code", "message"}


def test_a_port_on_which_nothing_listens_is_a_bad_gateway(served, server):
    answer = httpx.get(server.gateway, headers={ROUTE: f"{served.id}-8009"})
    assert answer.status_code == 502 and answer.json()["code"] == "BACKEND_CONNECTION_FAILED"


def test_a_sandbox_that_is_gone_is_not_reached_any_more(create, server):
    sandbox = create()
    start_server(sandbox, ECHO_SERVER)
    endpoint = sandbox.get_endpoint(8000)
    with httpx.Client() as kept:
        assert kept.get(server.gateway, headers=endpoint.headers).status_code == 200
        sandbox.kill()
        assert kept.get(server.gateway, headers=endpoint.headers).status_code == 404


WEBSOCKETS = r'''
import asyncio, base64, hashlib, json
def frame(opcode, data):
    head = bytes([0x80 | opcode])
    n = len(data)
    return head + (bytes([n]) if n < 126 else b"\x7e" + n.to_bytes(2, "big") if n < 65536
                   else b"\x7f" + n.to_bytes(8, "big")) + data
async def serve(r, w):
    head = (await r.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {l.split(":", 1)[0].lower(): l.split(":", 1)[1].strip() for l in head[1:] if ":" in l}
    if head[0].startswith("GET /refuse"):
        w.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"); await w.drain(); w.close(); return
    key = fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    protocol = fields.get("sec-websocket-protocol", "").split(",")[0].strip()
    w.write(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: " + accept + "\r\n"
             + ("Sec-WebSocket-Protocol: " + protocol + "\r\n" if protocol else "") + "\r\n").encode())
    w.write(frame(1, json.dumps({"path": head[0].split()[1], "fields": fields}).encode()))
    while True:
        a, b = await r.readexactly(2)
        n = b & 127
        if n == 126: n = int.from_bytes(await r.readexactly(2), "big")
        elif n == 127: n = int.from_bytes(await r.readexactly(8), "big")
        mask = await r.readexactly(4)
        data = bytes(x ^ mask[i & 3] for i, x in enumerate(await r.readexactly(n)))
        if a & 15 == 8:
            w.write(frame(8, data)); await w.drain(); w.close(); return
        if data == b"close please":
            w.write(frame(8, (4001).to_bytes(2, "big") + b"as asked"))
        else:
            w.write(frame(a & 15, data))
        await w.drain()
async def main():
    async with await asyncio.start_server(serve, "0.0.0.0", 8000) as s: await s.serve_forever()
asyncio.run(main())
'''


@pytest.fixture
def talking(create):
    sandbox = create()
    start_server(sandbox, WEBSOCKETS)
    return sandbox


def socket_of(sandbox, server, way):
    if way == "gateway":
        return f"ws://127.0.0.1:{server.gateway_port}/chat?x=1", {ROUTE: f"{sandbox.id}-8000"}
    return f"ws://127.0.0.1:{server.port}/v1/sandboxes/{sandbox.id}/proxy/8000/chat?x=1", {}


@pytest.mark.parametrize("way", ["gateway", "server"])
def test_a_websocket_goes_through(talking, server, way):
    url, headers = socket_of(talking, server, way)
    with connect(url, additional_headers=headers, subprotocols=["one", "two"], origin="http://page.example",
                 compression=None, max_size=None) as socket:
        assert socket.subprotocol == "one"
        hello = json.loads(socket.recv(timeout=30))
        assert hello["path"] == "/chat?x=1" and hello["fields"]["origin"] == "http://page.example"
        assert ROUTE.lower() not in hello["fields"]
        for message in ("text ü", b"\0\1binary", "y" * 70_000):
            socket.send(message)
            assert socket.recv(timeout=30) == message


@pytest.mark.parametrize("way", ["gateway", "server"])
def test_the_close_code_of_a_websocket_goes_through(talking, server, way):
    url, headers = socket_of(talking, server, way)
    with connect(url, additional_headers=headers, compression=None) as socket:
        socket.recv(timeout=30)
        socket.send(b"close please")
        with pytest.raises(Exception) as end:
            socket.recv(timeout=30)
        assert (end.value.rcvd.code, end.value.rcvd.reason) == (4001, "as asked")


def test_a_websocket_needs_the_credential_of_a_secured_sandbox(create, server):
    sandbox = create(secure_access=True)
    start_server(sandbox, WEBSOCKETS)
    url, headers = socket_of(sandbox, server, "gateway")
    credential = sandbox.get_endpoint(8000).headers
    with connect(url, additional_headers=credential, compression=None) as socket:
        assert socket.recv(timeout=30)
    with pytest.raises(InvalidStatus) as refusal:
        connect(url, additional_headers=headers, compression=None)
    assert refusal.value.response.status_code == 401
