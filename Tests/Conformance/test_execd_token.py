"""Who knows a sandbox's id reaches its applications' ports and no more: execd's token goes with its endpoint, and neither the
gateway nor the server's proxy says it for anybody (docs/wire.md#endpoints).
"""

import json
import pathlib
import subprocess
import sys
import time

import httpx
import pytest
from support.server import IMAGE
from support.inside import ECHO_SERVER, headers_of, say, start_server
from test_mcp import run as with_mcp

TOKEN = "X-EXECD-ACCESS-TOKEN"
ROUTE = "OpenSandbox-Ingress-To"
POLICY = "OPENSANDBOX-EGRESS-AUTH"
COMMAND = {"command": "id"}
OSB = str(pathlib.Path(sys.executable).with_name("osb"))


def endpoint(api, sandbox, port, way):
    """URL and headers of a port, as the server tells them."""
    query = {"gateway": "", "proxy": "?use_server_proxy=true", "signed": f"?expires={int(time.time()) + 600}"}[way]
    told = api.get(f"/v1/sandboxes/{sandbox.id}/endpoints/{port}{query}").json()
    return f"http://{told['endpoint']}", told.get("headers", {})


def without(headers, name):
    return {key: value for key, value in headers.items() if key != name}


@pytest.mark.parametrize("way", ["gateway", "proxy", "signed"])
def test_execds_endpoint_has_the_token_and_without_it_nothing_is_open(sandbox, create, api, way):
    url, headers = endpoint(api, sandbox, 44772, way)
    assert httpx.get(url + "/ping", headers=headers).status_code == 200
    other = endpoint(api, create(), 44772, way)[1][TOKEN]
    bare = without(headers, TOKEN)
    for wrong in (bare, {**bare, TOKEN: ""}, {**bare, TOKEN: other}, {**bare, TOKEN: headers[TOKEN][:-1]}):
        for answer in (httpx.get(url + "/ping", headers=wrong), httpx.get(url + "/files/info?path=/", headers=wrong),
                       httpx.post(url + "/command", headers=wrong, json=COMMAND)):
            assert answer.status_code == 401 and TOKEN in answer.json()["error"]


@pytest.mark.parametrize("way", ["gateway", "proxy", "signed"])
def test_a_shared_preview_opens_neither_execd_nor_the_policy(sandbox, api, way):
    """The attack: a URL of port 8000, with the port changed."""
    start_server(sandbox, ECHO_SERVER)
    url, headers = endpoint(api, sandbox, 8000, way)
    assert httpx.get(url, headers=headers).status_code == 200
    assert not {TOKEN, POLICY} & headers.keys()
    for port, path in ((44772, "/ping"), (18080, "/policy")):
        changed = {key: value.replace("-8000", f"-{port}", 1) for key, value in headers.items()}
        answer = httpx.get(url.replace("/proxy/8000", f"/proxy/{port}") + path, headers=changed)
        assert answer.status_code == 401, (port, answer.text)
    assert httpx.post(url.replace("/proxy/8000", "/proxy/44772") + "/command", json=COMMAND,
                      headers={ROUTE: f"{sandbox.id}-44772"}).status_code == 401


@pytest.mark.parametrize("way", ["gateway", "proxy"])
def test_an_application_is_not_given_the_token(sandbox, api, way):
    start_server(sandbox, ECHO_SERVER)
    url, headers = endpoint(api, sandbox, 8000, way)
    assert not {TOKEN.lower(), POLICY.lower()} & headers_of(httpx.get(url, headers=headers)).keys()


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxied"])
def test_the_sdk_sends_it_back(create, proxied):
    sandbox = create(use_server_proxy=proxied)
    assert sandbox.is_healthy() and say(sandbox, "echo in") == "in"
    sandbox.files.write_file("/tmp/note", "text")
    assert sandbox.files.read_file("/tmp/note") == "text"
    assert sandbox.get_metrics() and sandbox.get_egress_policy()


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxied"])
def test_the_command_line_sends_it_back(sandbox, server, tmp_path, proxied):
    environment = {**server.environment(), "HOME": str(tmp_path), "OPEN_SANDBOX_USE_SERVER_PROXY": str(proxied).lower()}
    done = subprocess.run([OSB, "command", "run", sandbox.id, "-o", "raw", "--", "echo", "in"], env=environment,
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr


def test_the_mcp_server_sends_it_back_through_the_server_proxy(server):
    """The direct way is test_mcp.py's. The program has a flag for this one, and reads no variable."""
    async def tour(_, call):
        made = json.loads(await call("sandbox_create", image=IMAGE))
        box = made.get("sandbox_id") or made["id"]
        server.seen.add(box)
        try:
            assert f"/sandboxes/{box}/proxy/8000" in await call("sandbox_get_endpoint", sandbox_id=box, port=8000)
            assert "hello" in await call("command_run", sandbox_id=box, command="echo hello")
            await call("file_write", sandbox_id=box, path="/tmp/note", content="text")
            assert "text" in await call("file_read", sandbox_id=box, path="/tmp/note")
        finally:
            await call("sandbox_kill", sandbox_id=box)

    with_mcp(server, tour, "--use-server-proxy")


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxied"])
def test_the_code_interpreter_sends_it_back(create, proxied):
    from code_interpreter import CodeInterpreterSync

    sandbox = create(use_server_proxy=proxied)
    interpreter = CodeInterpreterSync.create(sandbox=sandbox, skip_health_check=True)
    # What execd says of code is another matter; that it says anything but 401 is the token's doing.
    try:
        interpreter.codes.create_context("python")
    except Exception as refusal:
        assert "401" not in str(refusal) and TOKEN not in str(refusal), refusal
