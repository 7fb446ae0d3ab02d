"""A registry that answers every question for a manifest with the same one, and swears that it is the one asked for."""

import http.server
import json
import pathlib
import shutil
import tempfile
import threading

from .hostile_images import base_layer, write_layout


class LyingRegistry:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-liar-"))
        write_layout(self.folder, [base_layer()])
        self.digest = json.loads((self.folder / "index.json").read_text())["manifests"][0]["digest"]
        self.asked = []
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                registry.asked.append(self.path)
                kind, _, name = self.path.rpartition("/")
                body, headers = b"{}", {"Content-Type": "application/json"}
                if kind.endswith("/manifests"):
                    body = registry.blob(registry.digest)
                    headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json",
                               "Docker-Content-Digest": name if ":" in name else registry.digest}
                elif kind.endswith("/blobs"):
                    body = registry.blob(name)
                self.send_response(200)
                for key, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def blob(self, digest):
        return (self.folder / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)
