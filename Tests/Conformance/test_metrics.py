"""What Prometheus makes of a real server: its own tool reads the metrics, and it evaluates the alerts (docs/observability.md)."""

import json
import pathlib
import re
import shutil
import subprocess

import httpx
import pytest
from support.server import ROOT, free_port
from support.waiting import eventually, patient


def lint(text):
    """What promtool finds to complain of."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=patient(30))
    assert "error while linting" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def families(text):
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))


@pytest.fixture
def used(own_server):
    """A server that has done some of everything."""
    server = own_server
    sandbox = server.create(env={"EXECD_LOG_FILE": "/tmp/execd.log"})
    try:
        sandbox.commands.run("true")
        httpx.get(server.gateway + "/", headers={"OpenSandbox-Ingress-To": "nobody-80"})
        with server.api as api:
            assert api.get("/v1/sandboxes/nobody").status_code == 404
            api.request("MINE", "/v1/sandboxes")
            api.post("/v1/metrics/events", json={"eventType": "sandbox.create", "createDurationMs": 5, "success": True})
        yield server, sandbox
    finally:
        sandbox.kill()
        sandbox.close()


def test_metrics_are_as_prometheus_wants_them(used):
    server, sandbox = used
    with server.api as api:
        text = api.get("/metrics").text
    assert lint(text) == ""
    found = families(text)
    # Of the server, the guard and the gateway.
    assert found["server_http_request_duration_seconds"] == "histogram"
    assert found["egress_nftables_updates_total"] == "counter" and found["sallyport_ingress_connections_total"] == "counter"
    assert found["sallyport_ingress_request_duration_seconds"] == "histogram"
    assert 'sallyport_ingress_request_duration_seconds_count{route="header",status="4xx"} 1\n' in text
    assert 'sallyport_ingress_refusals_total{code="SANDBOX_NOT_FOUND",route="header"} 1\n' in text
    assert 'sallyport_sandboxes{state="running"} 1\n' in text
    assert 'http_method="POST",http_route="/v1/sandboxes",http_status_code="202"' in text
    assert 'sallyport_http_refusals_total{code="DOCKER::SANDBOX_NOT_FOUND",http_route="/v1/sandboxes/{id}"} 1\n' in text
    # Whatever a client makes up is one series.
    assert "MINE" not in text and "nobody" not in text and 'http_method="OTHER"' in text

    # One id finds what the processes have said of one request.
    with server.api as api:
        box, named = f"/v1/sandboxes/{sandbox.id}", {"X-Request-ID": "walk-1"}
        rules = [{"action": "allow", "target": "a.example"}]
        assert api.patch(f"{box}/networkpolicy", json=rules, headers=named).status_code == 200
        assert api.get(f"{box}/endpoints/0", headers=named).status_code >= 400
    said = lambda: [line for line in server.log.read_text(errors="replace").splitlines() if "request=walk-1" in line]
    eventually(lambda: any("process=guard" in line and "policy changed" in line for line in said()), what="the guard's line")
    eventually(lambda: any("process=server" in line and sandbox.id in line and "status=4" in line for line in said()), what="the server's line")

    # Of an error inside, too, where the client has named none: the gateway's line and execd's have one id.
    endpoint = sandbox.get_endpoint(44772)
    asked = httpx.post(f"http://{endpoint.endpoint}/v1/isolated/session", headers=endpoint.headers)
    assert asked.status_code == 503, asked.text

    # A line is written when the answer has gone.
    def told():
        lines = [json.loads(line) for line in sandbox.files.read_file("/tmp/execd.log").splitlines()]
        return [line["request"] for line in lines if line.get("target") == "/v1/isolated/session"]

    [made] = eventually(told, what="execd's line")
    assert re.fullmatch("[0-9a-f]{32}", made)
    eventually(lambda: any("process=gateway" in line and f"request={made}" in line and "status=503" in line
                           for line in server.log.read_text(errors="replace").splitlines()), what="the gateway's line")

    inside = httpx.get(f"http://{endpoint.endpoint}/metrics/prometheus", headers=endpoint.headers).text
    assert lint(inside) == "" and families(inside)["execd_system_network_io_bytes_total"] == "counter"


def test_all_that_is_scraped_is_known_by_name(used):
    import sys
    sys.path.insert(0, str(ROOT / "Tests/Scripts"))
    from metrics import exported

    with used[0].api as api:
        found = families(api.get("/metrics").text)
    assert len(found) > 15 and set(found.items()) <= {(metric.family, metric.kind) for metric in exported()}


def panels():
    """What the dashboard asks, with Grafana's variables put in, in the order of its panels."""
    dashboard = json.loads((ROOT / "deploy/monitoring/sallyport-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")


class Prometheus:
    """A real one, with our configuration but for its times and its target."""

    def __init__(self, server, folder):
        shutil.copytree(ROOT / "deploy/monitoring", folder / "monitoring")
        config = folder / "monitoring/prometheus.yml"
        config.write_text(config.read_text().replace("15s", "1s").replace("127.0.0.1:8080", f"127.0.0.1:{server.port}"))
        rules = folder / "monitoring/sallyport-rules.yml"
        rules.write_text(rules.read_text().replace("interval: 15s", "interval: 1s"))
        (folder / "monitoring/sallyport-key").write_text(server.key)
        self.base = f"http://127.0.0.1:{free_port()}"
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address={self.base.removeprefix('http://')}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)

    def ask(self, path, **query):
        try:
            answer = httpx.get(self.base + "/api/v1/" + path, params=query, timeout=patient(10))
            return answer.json().get("data") if answer.status_code == 200 else None
        except httpx.TransportError:
            assert self.process.poll() is None, pathlib.Path(self.log.name).read_text()
            return None

    def value(self, query):
        found = (self.ask("query", query=query) or {}).get("result")
        return float(found[0]["value"][1]) if found else None

    def rules(self):
        return [rule for group in (self.ask("rules") or {}).get("groups", []) for rule in group["rules"]]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=patient(20))
        self.log.close()


def test_prometheus_scrapes_the_server_and_evaluates_the_alerts(used, tmp_path):
    server, _ = used
    prometheus = Prometheus(server, tmp_path)
    try:
        eventually(lambda: prometheus.value('up{job="sallyport"}') == 1, within=30, what="a scrape")
        assert prometheus.value('sallyport_sandboxes{state="running"}') == 1
        eventually(lambda: prometheus.rules() and all(rule["health"] == "ok" for rule in prometheus.rules()), within=30,
                   what="an evaluation of every rule")
        answers = {expression: prometheus.ask("query", query=expression) for expression in panels()}
        assert len(answers) > 30 and not [expression for expression, answer in answers.items() if answer is None]
        assert any(answer["result"] for answer in answers.values())
        states = {rule["name"]: rule.get("state") for rule in prometheus.rules()}
        assert len(states) >= 17 and states["SallyportDown"] == "inactive" and states["SallyportPartDown"] == "inactive"
        eventually(lambda: prometheus.value("sum(sallyport:http_requests:rate5m)") is not None, within=30,
                   what="what a rule records")
        server.stop()
        eventually(lambda: {rule["name"]: rule.get("state") for rule in prometheus.rules()}["SallyportDown"] != "inactive",
                   within=30, what="the alert")
    finally:
        prometheus.stop()
        if server.process.poll() is not None:
            server.start()
