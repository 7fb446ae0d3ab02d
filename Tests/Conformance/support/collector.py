"""A collector of OpenTelemetry: takes OTLP as JSON over HTTP, and keeps what it got."""

import http.server
import json
import threading


class Collector:
    def __init__(self):
        self.lock = threading.Lock()
        self.documents = {"/v1/metrics": [], "/v1/traces": []}
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                known = self.path in collector.documents and self.headers["Content-Type"] == "application/json"
                if known:
                    document = json.loads(body)
                    with collector.lock:
                        collector.documents[self.path].append(document)
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def spans(self, trace=None):
        """All spans, or those of one trace; each with its process as `service`."""
        with self.lock:
            documents = list(self.documents["/v1/traces"])
        return spans_of(documents, trace)

    def metrics(self):
        """The latest points of each metric, by its name: (attributes, point, metric), with the service as an attribute."""
        with self.lock:
            documents = list(self.documents["/v1/metrics"])
        found = {}
        for document in documents:
            for resource in document["resourceMetrics"]:
                service = read(resource["resource"]["attributes"])["service.name"]
                for scope in resource["scopeMetrics"]:
                    for metric in scope["metrics"]:
                        kind = next(metric[name] for name in ("sum", "gauge", "histogram") if name in metric)
                        found[metric["name"]] = [
                            (dict(read(point["attributes"]), service=service), point, metric)
                            for point in kind["dataPoints"]]
        return found


def spans_of(documents, trace=None):
    found = []
    for document in documents:
        for resource in document["resourceSpans"]:
            attributes = read(resource["resource"]["attributes"])
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    found.append({**span, "service": attributes["service.name"],
                                  "attributes": read(span.get("attributes", []))})
    return [span for span in found if trace in (None, span["traceId"])]


def ancestors(span, spans):
    """The names of a span's parents, the nearest first, and the id that the first of them names."""
    by_id, names = {item["spanId"]: item for item in spans}, []
    while span.get("parentSpanId") in by_id:
        span = by_id[span["parentSpanId"]]
        names.append(span["name"])
    return names, span.get("parentSpanId")


def read(attributes):
    return {item["key"]: item["value"].get("stringValue", item["value"].get("intValue")) for item in attributes}
