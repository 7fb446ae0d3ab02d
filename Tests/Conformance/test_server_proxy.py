"""The server's own proxy to sandboxes (docs/wire.md#the-server-proxy)."""

import http.client
import json
import socket

import httpx
import pytest
from support.inside import ECHO_SERVER, headers_of, start_server
from test_contract import UNKNOWN, refused


@pytest.fixture
def served(create):
    sandbox = create()
    start_server(sandbox, ECHO_SERVER)
    return sandbox


def url(server, sandbox, path="", prefix="/v1", port=8000):
    return f"{server.base}{prefix}/sandboxes/{sandbox.id}/proxy/{port}{path}"


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_request_without_a_key_reaches_the_sandbox(served, server, prefix, method):
    answer = httpx.request(method, url(server, served, "/deep/path", prefix), content=b"body")
    assert answer.status_code == 200
    assert (answer.json()["method"], answer.json()["target"], answer.json()["body"]) == (method, "/deep/path", "body")
    assert answer.headers["x-request-id"] and "server" not in answer.headers


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PURGE"])
def test_any_other_method_does_too(served, server, method):
    with httpx.Client() as kept:
        answer = kept.request(method, url(server, served, "/m"))
        assert answer.status_code == 200
        assert method == "HEAD" or (answer.json()["method"], answer.json()["target"]) == (method, "/m")
        # The connection is at the beginning of another answer.
        assert kept.get(url(server, served)).json()["method"] == "GET"


def test_a_preflight_is_the_applications(served, server):
    answer = httpx.options(url(server, served), headers={
        "Origin": "http://page.example", "Access-Control-Request-Method": "POST"})
    assert answer.status_code == 200 and answer.json()["method"] == "OPTIONS"
    assert "access-control-allow-origin" not in answer.headers


RAW = b"caf\xe9 \xc3\xa4 \xff\xf4\x8f\xbe\x80"


@pytest.mark.parametrize("way", ["gateway", "server"])
def test_bytes_above_ascii_pass_as_they_are_in_both_directions(served, server, way):
    port, target, route = server.port, f"/v1/sandboxes/{served.id}/proxy/8000/raw".encode(), b""
    if way == "gateway":
        port, target, route = server.gateway_port, b"/raw", f"OpenSandbox-Ingress-To: {served.id}-8000\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port + route
                       + b"X-Raw: " + RAW + b"\r\nConnection: close\r\n\r\n")
        came = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = came.partition(b"\r\n\r\n")
    assert b"\r\nx-raw: " + RAW in head.replace(b"X-Raw", b"x-raw"), head
    assert dict(json.loads(body)["headers"])["X-Raw"].encode("latin-1") == RAW


@pytest.mark.parametrize("target", [
    "?a=%2F%20b&c=d+e&&=", "/a%2Fb%20c?x=%E4", "/?q=[1]|{2}", "/a//b///c", "/%C3%BC", "?", "",
])
def test_the_query_goes_through_byte_for_byte(served, server, target):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.putrequest("GET", url(server, served).removeprefix(server.base) + target, skip_host=False)
        connection.endheaders()
        answer = connection.getresponse()
        seen = json.loads(answer.read())["target"]
    finally:
        connection.close()
    assert seen == (target if target.startswith("/") else "/" + target)


def test_credentials_and_forwarding_headers_are_dropped_and_made_anew(served, server):
    sent = {
        "Authorization": "Bearer secret", "Cookie": "a=b", "OPEN-SANDBOX-API-KEY": server.key,
        "OpenSandbox-Secure-Access": "secret", "OpenSandbox-Access-Renew": "skip", "Forwarded": "for=192.0.2.1",
        "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "forged.example", "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "1", "X-Real-IP": "192.0.2.1", "Connection": "X-Named, keep-alive", "X-Named": "x",
        "TE": "trailers", "Proxy-Authorization": "x", "Keep-Alive": "timeout=5", "X-Kept": "yes",
    }
    seen = headers_of(httpx.get(url(server, served), headers=sent))
    assert seen["x-kept"] == ["yes"]
    assert seen["x-forwarded-proto"] == ["http"]
    assert seen["x-forwarded-host"] == [f"127.0.0.1:{server.port}"]
    assert seen["x-forwarded-for"] == ["127.0.0.1"]
    assert seen["host"][0].endswith(":8000") and str(server.port) not in seen["host"][0]
    gone = {"authorization", "cookie", "open-sandbox-api-key", "opensandbox-secure-access", "opensandbox-access-renew",
            "forwarded", "x-forwarded-port", "x-real-ip", "x-named", "te", "proxy-authorization", "keep-alive"}
    assert not gone & seen.keys()


def test_repeated_response_headers_are_kept(served, server):
    assert httpx.get(url(server, served, "/cookies")).headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_only_a_local_location_is_rewritten(served, server, prefix):
    def location(path):
        return httpx.get(url(server, served, path, prefix)).headers["location"]

    assert location("/go-local") == f"{prefix}/sandboxes/{served.id}/proxy/8000/elsewhere?x=1"
    assert location("/go-slashes") == "//other.example/x"
    assert location("/go-away") == "http://other.example/x"


def test_a_failure_is_told_by_its_code(served, server, api):
    refused(httpx.get(url(server, served, port=8009)), 502, "BACKEND_CONNECTION_FAILED")
    refused(httpx.get(f"{server.base}/v1/sandboxes/{UNKNOWN}/proxy/8000"), 404)
    for port in (0, 65536):
        refused(httpx.get(url(server, served, port=port)), 400)
    refused(httpx.get(url(server, served), headers={"Upgrade": "websocket"}), 400)
    answer = httpx.get(f"{server.base}/v1/sandboxes/{served.id}/proxy/x")
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("path", ["/../../../sandboxes", "/%2e%2e/%2e%2e/x", "/..%2f..%2fx"])
def test_a_path_with_dots_does_not_get_past_the_key(served, server, path):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", url(server, served).removeprefix(server.base) + path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status in (400, 401, 404)
    finally:
        connection.close()


def test_a_secured_sandbox_needs_its_credential_here_too(create, server):
    sandbox = create(secure_access=True)
    start_server(sandbox, ECHO_SERVER)
    refused(httpx.get(url(server, sandbox)), 401, "MISSING_OR_INVALID_SECURE_ACCESS")
    headers = sandbox.get_endpoint(8000).headers
    assert httpx.get(url(server, sandbox), headers=headers).status_code == 200


def test_a_proxied_policy_call_must_carry_its_own_token(create, server, api):
    sandbox = create()
    refusal = httpx.get(url(server, sandbox, "/policy", port=18080))
    assert refusal.status_code == 401
    endpoint = api.get(f"/v1/sandboxes/{sandbox.id}/endpoints/18080?use_server_proxy=true").json()
    answer = httpx.get(f"http://{endpoint['endpoint']}/policy", headers=endpoint["headers"])
    assert answer.status_code == 200 and "policy" in answer.json()


def test_a_paused_sandbox_is_not_waited_for(served, server, api):
    assert api.post(f"/v1/sandboxes/{served.id}/pause").status_code == 202
    assert 400 <= httpx.get(url(server, served), timeout=5).status_code < 600
    assert api.post(f"/v1/sandboxes/{served.id}/resume").status_code == 202
    assert httpx.get(url(server, served)).status_code == 200
