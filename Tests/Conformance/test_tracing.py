"""One trace from a client through server, guard, gateway and sandbox (docs/observability.md#traces)."""

import secrets
from datetime import timedelta

import httpx
import pytest
from opensandbox import SandboxSync
from support.collector import Collector
from support.server import IMAGE, AllInOneServer, deny_but
from support.waiting import eventually, patient


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def traced(world, collector):
    server = AllInOneServer(world, tables=f"""
[otel]
enabled = true
endpoint = "{collector.endpoint}"
traces = true
traces_ratio = 0
""")
    try:
        yield server.start(OTEL_BSP_SCHEDULE_DELAY="100")
    finally:
        server.tear_down()


def ancestors(span, spans):
    """The names of a span's parents, the nearest first, and the id that the first of them names."""
    by_id, names = {item["spanId"]: item for item in spans}, []
    while span.get("parentSpanId") in by_id:
        span = by_id[span["parentSpanId"]]
        names.append(span["name"])
    return names, span.get("parentSpanId")


def test_one_create_one_command_and_one_request_are_one_trace(traced, collector):
    trace, root = secrets.token_hex(16), secrets.token_hex(8)
    headers = {"traceparent": f"00-{trace}-{root}-01", "tracestate": "mine=1"}
    sandbox = SandboxSync.create(
        IMAGE, connection_config=traced.connection(headers=headers), network_policy=deny_but("one.example"),
        resource={"cpu": "1", "memory": "256Mi"}, ready_timeout=timedelta(seconds=patient(30)))
    traced.seen.add(sandbox.id)
    try:
        said = sandbox.commands.run("echo done")
        assert [line.text for line in said.logs.stdout] == ["done"]
        endpoint = sandbox.get_endpoint(44772)
        answer = httpx.get(f"http://{endpoint.endpoint}/ping", headers={**endpoint.headers, **headers})
        assert answer.status_code == 200 and not [name for name in answer.headers if name.startswith("trace")]
        wanted = {"POST /v1/sandboxes", "create", "create.image", "create.prepare", "create.protect", "create.start",
                  "create.reach", "guard PUT", "PUT /sandboxes/{id}", "GET gateway", "POST gateway"}
        eventually(lambda: wanted <= {span["name"] for span in collector.spans(trace)}, what="the spans")
    finally:
        sandbox.kill()
        sandbox.close()
    spans = collector.spans(trace)

    def one(name):
        return next(span for span in spans if span["name"] == name)

    assert ancestors(one("create.prepare"), spans) == (["create", "POST /v1/sandboxes"], root)
    assert ancestors(one("create.reach"), spans) == (["create.start", "create", "POST /v1/sandboxes"], root)
    # Into the guard's own process, and back to who asked it.
    assert ancestors(one("PUT /sandboxes/{id}"), spans) == (
        ["guard PUT", "create.protect", "create", "POST /v1/sandboxes"], root)
    assert ancestors(one("GET gateway"), spans) == ([], root)
    services = {span["name"]: span["service"] for span in spans}
    if not traced.words:
        assert services["POST /v1/sandboxes"] == "opensandbox-server"
        assert services["PUT /sandboxes/{id}"] == "opensandbox-server-guard"
        assert services["GET gateway"] == "opensandbox-server-gateway"
    assert one("create")["attributes"]["sandbox.id"] == sandbox.id
    assert one("POST /v1/sandboxes")["attributes"]["http.response.status_code"] == "202"
    assert all(span["traceState"] == "mine=1" and int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
               for span in spans)
    # Nothing of a client that could be a secret.
    assert traced.key not in str(spans)


def test_nothing_is_recorded_where_nobody_asked_for_it(traced, collector):
    known = {span["traceId"] for span in collector.spans()}
    hostile = ["00-" + "0" * 32 + "-" + "1" * 16 + "-01", "00-" + "A" * 32 + "-" + "b" * 16 + "-01", "x" * 4000]
    with traced.api as api:
        for value in [None, *hostile]:
            answer = api.get("/v1/sandboxes", headers={} if value is None else {"traceparent": value})
            assert answer.status_code == 200 and (value or "none given") not in str(answer.headers) + answer.text
        # What comes later has come after them.
        trace = secrets.token_hex(16)
        api.get("/v1/sandboxes", headers={"traceparent": f"00-{trace}-{'1' * 16}-01"})
        eventually(lambda: collector.spans(trace), what="the span")
    assert {span["traceId"] for span in collector.spans()} - known == {trace}


def test_what_waits_is_sent_when_the_server_ends(world, collector):
    server = AllInOneServer(world, tables=f"""
[otel]
enabled = true
endpoint = "{collector.endpoint}"
traces = true
""")
    try:
        server.start(OTEL_BSP_SCHEDULE_DELAY="86400000")
        trace = secrets.token_hex(16)
        with server.api as api:
            api.get("/v1/sandboxes", headers={"traceparent": f"00-{trace}-{'1' * 16}-01"})
        server.stop()
        assert [span["name"] for span in collector.spans(trace)] == ["GET /v1/sandboxes"]
    finally:
        server.tear_down()
