"""The lifecycle API as plain HTTP: routes, codes and shapes (docs/wire.md#lifecycle)."""

import re
from datetime import datetime, timedelta, timezone

import httpx
import pytest
from support.server import IMAGE, SLEEP
from support.waiting import eventually

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def refused(answer, status, code=None):
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    body = answer.json()
    assert isinstance(body["code"], str) and isinstance(body["message"], str) and body["message"]
    if code is not None:
        assert body["code"] == code, body
    return body


def has_null(value):
    if isinstance(value, dict):
        return any(has_null(inner) for inner in value.values())
    if isinstance(value, list):
        return any(has_null(inner) for inner in value)
    return value is None


@pytest.mark.parametrize("path, body", [("/health", {"status": "healthy"}), ("/version", {"version": "1.1.1"})])
def test_health_and_version_need_no_key(server, path, body):
    answer = httpx.get(server.base + path)
    assert answer.status_code == 200 and answer.json() == body


ROUTES = [
    ("POST", "/sandboxes"), ("GET", "/sandboxes"), ("GET", f"/sandboxes/{UNKNOWN}"), ("DELETE", f"/sandboxes/{UNKNOWN}"),
    ("PATCH", f"/sandboxes/{UNKNOWN}/metadata"), ("POST", f"/sandboxes/{UNKNOWN}/pause"),
    ("POST", f"/sandboxes/{UNKNOWN}/resume"), ("POST", f"/sandboxes/{UNKNOWN}/renew-expiration"),
    ("POST", f"/sandboxes/{UNKNOWN}/snapshots"), ("GET", "/snapshots"), ("GET", "/snapshots/x"),
    ("DELETE", "/snapshots/x"), ("GET", f"/sandboxes/{UNKNOWN}/endpoints/80"),
    ("GET", f"/sandboxes/{UNKNOWN}/diagnostics/logs"), ("GET", f"/sandboxes/{UNKNOWN}/diagnostics/inspect"),
    ("GET", f"/sandboxes/{UNKNOWN}/diagnostics/events"), ("GET", f"/sandboxes/{UNKNOWN}/diagnostics/summary"),
    ("POST", "/pools"), ("GET", "/pools"), ("GET", "/pools/x"), ("PUT", "/pools/x"), ("DELETE", "/pools/x"),
    ("POST", "/templates"), ("GET", "/templates"), ("GET", "/templates/x"), ("DELETE", "/templates/x"),
    ("GET", f"/sandboxes/{UNKNOWN}/networkpolicy"), ("PUT", f"/sandboxes/{UNKNOWN}/networkpolicy"),
    ("PATCH", f"/sandboxes/{UNKNOWN}/networkpolicy"), ("DELETE", f"/sandboxes/{UNKNOWN}/networkpolicy"),
    ("GET", f"/sandboxes/{UNKNOWN}/networkpolicy/explain"), ("GET", f"/sandboxes/{UNKNOWN}/networkpolicy/suggestion"),
    ("GET", f"/sandboxes/{UNKNOWN}/networkpolicy/events"), ("GET", f"/sandboxes/{UNKNOWN}/networkpolicy/effective"),
    ("POST", "/v1/metrics/events"), ("GET", "/metrics"),
]


@pytest.mark.parametrize("method, path", ROUTES + [(m, "/v1" + p) for m, p in ROUTES if p not in (
    "/v1/metrics/events", "/metrics")])
def test_every_route_asks_for_the_key(server, method, path):
    missing = httpx.request(method, server.base + path)
    refused(missing, 401, "MISSING_API_KEY")
    assert missing.headers["x-request-id"]
    for key in ("wrong", server.key + "x", server.key[:-1]):
        wrong = httpx.request(method, server.base + path, headers={"OPEN-SANDBOX-API-KEY": key})
        refused(wrong, 401, "INVALID_API_KEY")


def later(seconds):
    end = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return {"expiresAt": end.isoformat()}


RENEW = later(3600)


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("method, path, body", [
    ("GET", "", None), ("DELETE", "", None), ("PATCH", "/metadata", {"a": "b"}), ("POST", "/pause", None),
    ("POST", "/resume", None), ("POST", "/renew-expiration", RENEW), ("GET", "/endpoints/80", None),
    ("GET", "/diagnostics/logs", None), ("GET", "/diagnostics/inspect", None), ("GET", "/diagnostics/events", None),
    ("GET", "/diagnostics/summary", None), ("GET", "/networkpolicy", None),
    ("PUT", "/networkpolicy", {"defaultAction": "deny"}),
    ("PATCH", "/networkpolicy", [{"action": "allow", "target": "a.example"}]),
    ("DELETE", "/networkpolicy", ["a.example"]), ("POST", "/snapshots", {}),
    ("GET", "/networkpolicy/explain?target=a.example", None), ("GET", "/networkpolicy/suggestion", None),
    ("GET", "/networkpolicy/effective", None), ("GET", "/networkpolicy/events", None), ("GET", "/networkpolicy/events?limit=1", None),
])
def test_an_unknown_sandbox_is_not_found(api, prefix, method, path, body):
    answer = api.request(method, f"{prefix}/sandboxes/{UNKNOWN}{path}", json=body)
    refused(answer, 404, "DOCKER::SANDBOX_NOT_FOUND")


@pytest.mark.parametrize("name", ["x", "..%2f..%2fetc", "%00", "a" * 300, "ü"])
def test_a_name_that_is_no_sandboxs_is_not_found(api, name):
    refused(api.get(f"/v1/sandboxes/{name}"), 404)


@pytest.mark.parametrize("method, path, status, code", [
    ("GET", "/v1/templates", 501, "FSB::API_NOT_SUPPORTED"), ("POST", "/v1/templates", 400, "INVALID_REQUEST"),
    ("GET", "/v1/templates/x", 501, "FSB::API_NOT_SUPPORTED"), ("GET", "/v1/pools/x", 404, "KUBERNETES::POOL_NOT_FOUND"),
    ("PUT", "/v1/snapshots", 405, None),
    ("GET", "/v1/no-such-route", 404, None), ("GET", "/", 404, None), ("GET", "/v1", 404, None),
    ("PUT", "/v1/sandboxes", 405, None), ("POST", f"/v1/sandboxes/{UNKNOWN}", 405, None),
    ("GET", f"/v1/sandboxes/{UNKNOWN}/pause", 405, None), ("POST", "/health", 405, None),
    ("GET", "/v1/metrics/events", 405, None), ("GET", "/v1/health", 404, None), ("GET", "/v1/version", 404, None),
])
def test_what_this_server_has_not_is_refused_by_its_code(api, method, path, status, code):
    refused(api.request(method, path), status, code)


def test_a_request_id_is_echoed_or_made(api):
    assert api.get("/v1/sandboxes", headers={"X-Request-ID": "my-id"}).headers["x-request-id"] == "my-id"
    made = {api.get("/v1/sandboxes").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3 and all(re.fullmatch("[0-9a-f]{32}", one) for one in made)
    assert api.get("/v1/sandboxes/x").headers["x-request-id"]


def test_every_answer_has_a_date(api):
    assert api.get("/v1/sandboxes").headers["date"]


def test_a_create_answers_202_with_what_clients_need_and_no_null(api, server):
    answer = api.post("/v1/sandboxes", json=server.body(metadata={"a": "b"}))
    assert answer.status_code == 202, answer.text
    made = answer.json()
    try:
        assert made.keys() >= {"id", "status", "createdAt", "expiresAt", "entrypoint", "metadata"}
        assert made["entrypoint"] == SLEEP and made["status"]["state"] in ("Running", "Pending")
        assert "open-sandbox-origin" not in answer.headers
        for time in (made["createdAt"], made["expiresAt"], made["status"]["lastTransitionAt"]):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", time), time
        path = f"/v1/sandboxes/{made['id']}"
        seen = api.get(path)
        assert seen.status_code == 200 and seen.json()["image"] == {"uri": IMAGE}
        listed = api.get("/v1/sandboxes").json()
        assert listed["pagination"].keys() == {"page", "pageSize", "totalItems", "totalPages", "hasNextPage"}
        assert not any(map(has_null, (made, seen.json(), listed)))
        answers = [api.post(path + "/pause"), api.post(path + "/resume")]
        assert [answer.status_code for answer in answers] == [202, 202]
        answer = api.post(path + "/renew-expiration", json=later(1800))
        assert answer.status_code == 200 and answer.json().keys() == {"expiresAt"}
        answer = api.patch(path + "/metadata", json={"a": None})
        assert answer.status_code == 200 and "metadata" not in answer.json() and not has_null(answer.json())
    finally:
        answer = api.delete(f"/v1/sandboxes/{made['id']}")
    assert answer.status_code == 204 and answer.content == b""
    refused(api.delete(f"/v1/sandboxes/{made['id']}"), 404, "DOCKER::SANDBOX_NOT_FOUND")


def test_a_create_without_an_end_has_no_expiry(api, server):
    made = api.post("/sandboxes", json={**server.body(), "timeout": None})
    assert made.status_code == 202
    path = f"/sandboxes/{made.json()['id']}"
    try:
        assert "expiresAt" not in made.json() and "expiresAt" not in api.get(path).json()
        refused(api.post(path + "/renew-expiration", json=RENEW), 409, "DOCKER::INVALID_EXPIRATION")
    finally:
        api.delete(path)


@pytest.mark.parametrize("body, status, code", [
    ({"expiresAt": "2001-01-01T00:00:00Z"}, 400, "DOCKER::INVALID_EXPIRATION"), ({}, 422, None),
    ({"expiresAt": "tomorrow"}, 422, None), ({"expiresAt": 5}, 422, None), ([], 422, None),
    ({"expiresAt": "2099-02-30T00:00:00Z"}, 422, None), ({"expiresAt": "9999-12-31T23:59:60Z"}, 422, None),
    ({"expiresAt": "9999-12-31T23:59:59-00:01"}, 422, None), ({"expiresAt": "9999-12-31T23:59:59Z"}, 422, None),
    ({"expiresat": "2030-01-01T00:00:00Z"}, 422, None),
])
def test_an_end_that_is_none_is_refused(sandbox, api, body, status, code):
    before = api.get(f"/v1/sandboxes/{sandbox.id}").json()["expiresAt"]
    refused(api.post(f"/v1/sandboxes/{sandbox.id}/renew-expiration", json=body), status, code)
    assert api.get(f"/v1/sandboxes/{sandbox.id}").json()["expiresAt"] == before


def test_the_states_rule_what_can_be_done(sandbox, api):
    path = f"/v1/sandboxes/{sandbox.id}"
    refused(api.post(path + "/resume"), 409, "DOCKER::SANDBOX_NOT_PAUSED")
    assert api.post(path + "/pause").status_code == 202
    refused(api.post(path + "/pause"), 409, "DOCKER::SANDBOX_NOT_RUNNING")
    assert api.get(path).json()["status"]["state"] == "Paused"
    assert api.delete(path).status_code == 204


@pytest.mark.parametrize("query", ["page=0", "page=x", "pageSize=0", "pageSize=201", "pageSize=-1", "page=1.5"])
def test_a_page_that_is_none_is_refused(api, query):
    assert refused(api.get(f"/v1/sandboxes?{query}"), 422)["detail"][0].keys() >= {"type", "loc", "msg"}


@pytest.mark.parametrize("path", [
    "?page_size=5", "?states=Running", f"/{UNKNOWN}/endpoints/80?expire=4000000000",
    f"/{UNKNOWN}/endpoints/80?useServerProxy=true",
])
def test_a_misspelt_parameter_is_refused(api, path):
    problem = refused(api.get("/v1/sandboxes" + path), 422)["detail"][0]
    assert problem["loc"][0] == "query" and "did you mean" in problem["msg"]


@pytest.mark.parametrize("query", ["metadata=nonsense", "metadata=a%3Db%26c"])
def test_a_filter_that_is_no_list_of_pairs_is_refused(api, query):
    refused(api.get(f"/v1/sandboxes?{query}"), 400, "INVALID_METADATA_FORMAT")


def test_a_page_beyond_the_last_is_empty(api):
    answer = api.get("/v1/sandboxes?page=9223372036854775807&pageSize=200").json()
    assert answer["items"] == [] and answer["pagination"]["hasNextPage"] is False


@pytest.mark.parametrize("patch, status, code", [
    ({"opensandbox.io/owner": "x"}, 400, "INVALID_METADATA_LABEL"), ({"a b": "x"}, 400, "INVALID_METADATA_LABEL"),
    ({"a": "x" * 64}, 400, "INVALID_METADATA_LABEL"), ({"a": 5}, 422, None), ([], 422, None),
])
def test_metadata_that_is_no_label_is_refused(sandbox, api, patch, status, code):
    refused(api.patch(f"/v1/sandboxes/{sandbox.id}/metadata", json=patch), status, code)
    assert "metadata" not in api.get(f"/v1/sandboxes/{sandbox.id}").json()


@pytest.mark.parametrize("port, status, code", [
    ("0", 400, "DOCKER::INVALID_PORT"), ("65536", 400, "DOCKER::INVALID_PORT"), ("-1", 400, "DOCKER::INVALID_PORT"),
    ("http", 422, None), ("80?use_server_proxy=maybe", 422, None), ("80?expires=soon", 422, None),
    ("80?expires=9999999999&use_server_proxy=true", 400, "SANDBOX::INVALID_PARAMETER"), ("80?expires=1", 400, None),
])
def test_an_endpoint_that_cannot_be_is_refused(sandbox, api, port, status, code):
    refused(api.get(f"/v1/sandboxes/{sandbox.id}/endpoints/{port}"), status, code)
    if code == "DOCKER::INVALID_PORT":
        refused(api.get(f"/v1/sandboxes/{UNKNOWN}/endpoints/{port}"), status, code)


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_an_endpoint_has_no_scheme_and_proxied_ones_keep_the_prefix(create, api, server, prefix):
    sandbox = create(secure_access=True)
    for port in (44772, 18080, 8000):
        plain = api.get(f"{prefix}/sandboxes/{sandbox.id}/endpoints/{port}?use_server_proxy=false").json()
        assert plain["endpoint"] == f"127.0.0.1:{server.gateway_port}"
        proxied = api.get(f"{prefix}/sandboxes/{sandbox.id}/endpoints/{port}?use_server_proxy=true").json()
        assert proxied["endpoint"] == f"127.0.0.1:{server.port}{prefix}/sandboxes/{sandbox.id}/proxy/{port}"
        assert "OpenSandbox-Ingress-To" not in proxied["headers"]
        assert ("OPENSANDBOX-EGRESS-AUTH" in proxied["headers"]) == (port == 18080)


def test_metrics_events_are_taken(api):
    event = {"eventType": "sandbox.create", "createDurationMs": 12, "success": True, "image": "x"}
    answer = api.post("/v1/metrics/events", json=event)
    assert answer.status_code == 204 and answer.content == b""
    for wrong in ({}, {**event, "eventType": "other"}, [], {**event, "createDurationMs": -1}):
        refused(api.post("/v1/metrics/events", json=wrong), 422)
    assert 'sallyport_client_create_seconds_count{language="other",success="true"}' in api.get("/metrics").text


def test_the_servers_own_metrics_are_prometheus_text(api):
    answer = api.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("kind, scope", [("logs", "container"), ("logs", "all"), ("events", "runtime"), ("events", "all")])
def test_diagnostics_with_a_scope_are_json_and_without_are_text(sandbox, api, kind, scope):
    path = f"/v1/sandboxes/{sandbox.id}/diagnostics/{kind}"
    scoped = api.get(path, params={"scope": scope})
    assert scoped.status_code == 200
    assert scoped.json().keys() >= {"sandboxId", "kind", "scope", "delivery", "contentType", "truncated", "content"}
    text = api.get(path)
    assert text.status_code == 200 and text.headers["content-type"].startswith("text/plain")
    assert text.headers["deprecation"] == "true"
    assert scoped.json()["contentLength"] == len(scoped.json()["content"].encode())
    for unknown in ("other", ""):
        refused(api.get(path, params={"scope": unknown}), 400, "DIAGNOSTICS_SCOPE_UNSUPPORTED")
    for other in ("inspect", "summary"):
        assert api.get(f"/v1/sandboxes/{sandbox.id}/diagnostics/{other}").status_code == 200


def test_output_can_be_chosen_by_when_it_was_printed(api):
    created = api.post("/v1/sandboxes", json={
        "image": {"uri": "sallyport/base:latest"}, "entrypoint": ["sh", "-c", "echo once; exec sleep 1000"], "timeout": 300,
        "resourceLimits": {}})
    path = f"/v1/sandboxes/{created.json()['id']}"
    try:
        def said(since):
            return api.get(f"{path}/diagnostics/logs", params={"since": since}).text
        assert eventually(lambda: "once" in said("7d"))
        # The server has noted how much there is, and nothing more comes.
        assert eventually(lambda: said("0s") == "(no logs)")
        assert "once" in said("7d")
    finally:
        api.delete(path)


@pytest.mark.parametrize("kind", ["logs", "events", "inspect", "summary"])
def test_diagnostics_refuse_to_choose_by_what_they_do_not_know(sandbox, api, kind):
    path = f"/v1/sandboxes/{sandbox.id}/diagnostics/{kind}"
    for name, value in (("since", "10 minutes" if kind in ("logs", "events") else "10m"), ("container", "sidecar"), ("container", "")):
        assert name in refused(api.get(path, params={name: value}), 400)["message"]
    assert api.get(path, params={"container": "sandbox"}).status_code == 200
