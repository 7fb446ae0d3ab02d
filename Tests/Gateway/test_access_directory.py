"""A gateway in a process of its own: it follows the server's directory, and has nothing else of the server."""

import pathlib
import subprocess
import sys
import time

import httpx
import pytest
from support.inside import ECHO_SERVER, headers_of, start_server
from support.waiting import eventually

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from ingress_program import INGRESS, IngressProgram  # noqa: E402

ROUTE, CREDENTIAL = "OpenSandbox-Ingress-To", "OpenSandbox-Secure-Access"


@pytest.fixture
def gateways():
    """Starts gateways that end with the test."""
    made = []

    def start(server, *flags, **environment):
        made.append(IngressProgram(server, *flags, **environment))
        return made[-1]

    yield start
    for gateway in made:
        gateway.stop()


@pytest.fixture
def gateway(server, gateways):
    gateway = gateways(server)
    eventually(gateway.is_ready, what="the directory's state")
    return gateway


def test_it_routes_at_once_to_what_was_created_after_it_started(gateway, create):
    sandbox = create(secure_access=True)
    # No waiting: the endpoint that was handed out is good at any gateway.
    headers = sandbox.get_endpoint(44772).headers
    assert gateway.get(headers, "/ping").status_code == 200
    start_server(sandbox, ECHO_SERVER)
    headers = sandbox.get_endpoint(8000).headers
    assert gateway.get(headers).status_code == 200
    assert gateway.get({ROUTE: f"{sandbox.id}-8000"}).status_code == 401
    signed = sandbox.get_signed_endpoint(8000, int(time.time()) + 600).headers
    assert gateway.get(signed).status_code == 200


def test_a_revocation_and_a_deletion_arrive_and_are_quick(gateway, server, create, api):
    sandbox = create(secure_access=True)
    start_server(sandbox, ECHO_SERVER)
    headers = sandbox.get_endpoint(8000).headers
    assert gateway.get(headers).status_code == 200
    assert api.post(f"/v1/sandboxes/{sandbox.id}/endpoints/8000/revoke").status_code == 204
    eventually(lambda: gateway.get(headers).status_code == 401, what="the revocation")
    # The SDK keeps the endpoints that it has asked for.
    headers = api.get(f"/v1/sandboxes/{sandbox.id}/endpoints/8000").json()["headers"]
    eventually(lambda: gateway.get(headers).status_code == 200, what="the new credential")
    sandbox.kill()
    # By default a gateway with keys tells nobody whether a sandbox exists.
    eventually(lambda: gateway.get(headers).status_code == 401, what="the deletion")


SLOW = r'''
import asyncio
async def serve(r, w):
    await r.readuntil(b"\r\n\r\n")
    w.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nin\r\n")
    await w.drain()
    await r.read()
    w.close()
async def main():
    async with await asyncio.start_server(serve, "0.0.0.0", 8000) as s: await s.serve_forever()
asyncio.run(main())
'''


@pytest.mark.parametrize("way", ["embedded", "separate"])
@pytest.mark.parametrize("end", ["revoke", "delete"])
def test_what_is_open_ends_with_the_access(gateway, server, create, api, way, end):
    sandbox = create(secure_access=True)
    start_server(sandbox, SLOW)
    base = server.gateway if way == "embedded" else gateway.base
    with httpx.stream("GET", base, headers=sandbox.get_endpoint(8000).headers, timeout=20) as answer:
        parts = answer.iter_raw()
        assert next(parts) == b"in"
        if end == "revoke":
            assert api.post(f"/v1/sandboxes/{sandbox.id}/endpoints/8000/revoke").status_code == 204
        else:
            assert api.delete(f"/v1/sandboxes/{sandbox.id}").status_code == 204
        with pytest.raises(httpx.RemoteProtocolError):
            next(parts)


def test_it_serves_on_while_the_server_is_away_and_learns_what_it_missed(own_server, gateways):
    sandbox, other = own_server.create(secure_access=True), own_server.create()
    start_server(sandbox, ECHO_SERVER)
    headers = sandbox.get_endpoint(8000).headers
    gateway = gateways(own_server)
    eventually(gateway.is_ready, what="the directory's state")
    own_server.kill()
    for _ in range(5):
        assert gateway.get(headers).status_code == 200
    # One that never had a state refuses.
    late = gateways(own_server)
    assert late.get(headers).status_code == 503 and not late.is_ready()
    assert late.get(headers).json()["code"] == "DIRECTORY_UNAVAILABLE"
    own_server.start()
    eventually(late.is_ready, what="the server's return")
    assert late.get(headers).status_code == 200
    other.kill()
    own_server.api.post(f"/v1/sandboxes/{sandbox.id}/endpoints/1/revoke")
    for one in (gateway, late):
        eventually(lambda: one.get(headers).status_code == 401, what="what was missed")


def test_the_directory_wants_its_secret(server, create):
    create()
    transport = httpx.HTTPTransport(uds=f"{server.folder}/run/directory.sock")
    with httpx.Client(transport=transport) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"OPEN-SANDBOX-API-KEY": server.key}):
            answer = client.get("http://directory/v1/directory", headers=headers)
            assert answer.status_code == 401 and not answer.content


def test_a_wrong_secret_or_one_that_others_can_read_is_said(server, gateways, tmp_path):
    open_file = tmp_path / "secret"
    open_file.write_text("x")
    open_file.chmod(0o644)
    common = [INGRESS, "--port", "0", "--host", "127.0.0.1"]
    for flags, word in [
        (["--directory-secret-file", str(open_file)], "others"), (["--directory-secret-file", "/nonexistent"], "read"),
        (["--provider-type", "batchsandbox"], "provider"), (["--mode", "wildcard"], "domain"),
        (["--cookies"], "uri"), (["--client-rate", "0"], "limit"), (["--trusted-proxy", "nonsense"], "trusted-proxy"),
    ]:
        done = subprocess.run([*common, *flags], capture_output=True, text=True, timeout=20)
        assert done.returncode != 0 and word in done.stderr, (flags, done.stderr)


def test_the_reference_flags_are_taken_in_every_form():
    done = subprocess.run(
        [INGRESS, "-mode=uri", "--renew-intent-enabled=false", "-port", "28888", "--help"],
        capture_output=True, text=True, timeout=20)
    assert done.returncode == 0
    for flag in ("mode", "port", "provider-type", "namespace", "log-level", "secure-access-keys", "renew-intent-enabled",
                 "renew-intent-redis-dsn", "renew-intent-queue-key", "renew-intent-queue-max-len",
                 "renew-intent-min-interval"):
        assert f"--{flag}" in done.stdout, flag


def test_restricted_routes_by_the_api(gateway, server, create, api):
    sandbox = create(secure_access=True)
    start_server(sandbox, ECHO_SERVER)
    soon = int(time.time()) + 600
    endpoint = f"/v1/sandboxes/{sandbox.id}/endpoints/8000"

    def route(**more):
        answer = api.get(endpoint, params={"expires": soon, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()["headers"]

    once = route(once="true", label="ci")
    # The embedded gateway has a file to remember it in; this one was given none.
    assert gateway.get(once).status_code == 401
    first = httpx.get(server.gateway, headers=once)
    assert first.status_code == 200 and httpx.get(server.gateway, headers=once).status_code == 401
    (identity,) = headers_of(first)["opensandbox-access-identity"]
    assert identity.startswith("kind=token, version=2, key=") and 'label="ci", client="127.0.0.1"' in identity
    scoped = route(methods="GET", path="/a")
    for base in (server.gateway, gateway.base):
        assert httpx.get(base + "/a/b", headers=scoped).status_code == 200
        assert httpx.get(base + "/b", headers=scoped).status_code == 401
        assert httpx.post(base + "/a/b", headers=scoped).status_code == 401
    for more in ({"methods": "BREW"}, {"path": "a"}, {"label": "a b"}, {"once": "true", "expires": soon + 90_000}):
        assert api.get(endpoint, params={"expires": soon, **more}).status_code == 400
    assert api.get(endpoint, params={"once": "true"}).status_code == 400


def test_the_used_one_time_route_stays_used_over_a_restart(own_server):
    sandbox = own_server.create(secure_access=True)
    start_server(sandbox, ECHO_SERVER)
    with own_server.api as api:
        headers = api.get(
            f"/v1/sandboxes/{sandbox.id}/endpoints/8000",
            params={"expires": int(time.time()) + 600, "once": "true"}).json()["headers"]
    assert httpx.get(own_server.gateway, headers=headers).status_code == 200
    own_server.kill()
    own_server.start()
    assert httpx.get(own_server.gateway, headers=headers).status_code == 401
