"""Pages that a browser shows, and names that are not the server's: with and without an API key (docs/server.md)."""

import socket

import httpx
import pytest
from support.server import AllInOneServer
from test_contract import refused

PAGE = "http://page.example"


@pytest.fixture(params=["key", "open"])
def served(request, world):
    """A server that asks for a key, or for none, with one page that may call it."""
    server = AllInOneServer(world, names='["named.example"]', allowed_origins='["https://console.example"]')
    more = {}
    if request.param == "open":
        server.key, more = "", {"OPENSANDBOX_INSECURE_SERVER": "YES"}
    try:
        yield server.start(**more)
    finally:
        server.tear_down()


def test_only_programs_and_named_pages_reach_the_api(served):
    """One server for all: each start costs seconds."""
    with served.api as api:
        body, made = served.body(), []

        def create(**headers):
            return api.post("/v1/sandboxes", json=body, headers=headers)

        # The attack of a page: what a browser sends without asking first.
        answer = api.post("/v1/sandboxes", content=b'{"image":{"uri":"x"}}', headers={"Origin": PAGE, "Content-Type": "text/plain"})
        refused(answer, 403, "FOREIGN_ORIGIN")
        for origin in (PAGE, "null", f"http://127.0.0.1:{served.gateway_port}"):
            refused(create(Origin=origin), 403, "FOREIGN_ORIGIN")
            asked = httpx.options(served.base + "/v1/sandboxes", headers={
                "Origin": origin, "Access-Control-Request-Method": "POST"})
            refused(asked, 403, "FOREIGN_ORIGIN")
            assert "access-control-allow-origin" not in asked.headers
        # The attack of a page whose name has been given this machine's address.
        for host in ("page.example", f"page.example:{served.port}", "203.0.113.7"):
            refused(create(Host=host), 421, "UNKNOWN_HOST")
            refused(httpx.get(f"{served.base}/health", headers={"Host": host}), 421, "UNKNOWN_HOST")
            refused(httpx.get(f"{served.base}/v1/sandboxes/x/proxy/8000/", headers={"Host": host}), 421, "UNKNOWN_HOST")
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            answer = api.post("/v1/sandboxes", content=b"{}", headers={"Content-Type": kind})
            refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
        assert served.ids() == []
        # Controls: a program, under each name; and the page of the setting.
        for host in ("named.example", "localhost", socket.gethostname(), f"127.0.0.1:{served.port}"):
            assert api.get("/v1/sandboxes", headers={"Host": host}).status_code == 200
        made = create(Origin="https://console.example")
        assert made.status_code == 202, made.text
        assert made.headers["access-control-allow-origin"] == "https://console.example"
        assert "OPEN-SANDBOX-ORIGIN" in made.headers["access-control-expose-headers"]
        asked = httpx.options(served.base + "/v1/sandboxes", headers={
            "Origin": "https://console.example", "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "open-sandbox-api-key"})
        assert asked.status_code == 200 and "POST" in asked.headers["access-control-allow-methods"]
        assert asked.headers["access-control-allow-origin"] == "https://console.example"
        assert "open-sandbox-api-key" in asked.headers["access-control-allow-headers"]
