"""One trace from a client through server, guard, gateway and sandbox (docs/observability.md#traces)."""

import json
import secrets
from datetime import timedelta

import httpx
import pytest
from opensandbox import SandboxSync
from support.collector import Collector, ancestors, spans_of
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


# A collector in the sandbox, as its program: what it gets goes to a file.
INSIDE = """
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("/tmp/otlp" + self.path.rsplit("/", 1)[1], "ab") as file:
            file.write(body + b"\\n")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", 4318), Handler).serve_forever()
"""


def test_a_trace_goes_on_in_execd_and_in_what_it_runs(traced, collector):
    trace, root = secrets.token_hex(16), secrets.token_hex(8)
    headers = {"traceparent": f"00-{trace}-{root}-01"}
    sandbox = SandboxSync.create(
        IMAGE, connection_config=traced.connection(headers=headers), entrypoint=["python3", "-c", INSIDE],
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "otlp",
             "OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "200"},
        resource={"cpu": "1", "memory": "256Mi"}, ready_timeout=timedelta(seconds=patient(30)))
    traced.seen.add(sandbox.id)

    def told(signal):
        said = sandbox.commands.run(f"cat /tmp/otlp{signal} 2>&-; true")
        lines = "".join(part.text for part in said.logs.stdout).splitlines()
        return [json.loads(line) for line in lines if line]

    def commands():
        inside = [span for span in spans_of(told("traces"), trace) if span["name"] == "POST /command"]
        outside = [span for span in collector.spans(trace) if span["name"] == "POST gateway"]
        by_id = {span["spanId"]: span for span in outside}
        return [(span, by_id[span["parentSpanId"]]) for span in inside if span.get("parentSpanId") in by_id]

    try:
        said = sandbox.commands.run("echo $TRACEPARENT")
        own = said.logs.stdout[0].text
        assert own.startswith(f"00-{trace}-") and own.endswith("-01")
        eventually(lambda: own.split("-")[2] in {span["spanId"] for span, _ in commands()}, what="the spans")
        assert all(parent["parentSpanId"] == root for _, parent in commands())
        assert {span["service"].rsplit("-", 1)[0] for span, _ in commands()} == {"opensandbox-execd"}
        names = set()

        def measured():
            for document in told("metrics"):
                for metric in document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]:
                    names.add(metric["name"])
            return {"execd.http.request.duration", "execd.execution.duration",
                    "execd.system.memory.usage_bytes"} <= names

        eventually(measured, what="the metrics")
    finally:
        sandbox.kill()
        sandbox.close()


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
