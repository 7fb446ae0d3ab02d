"""Sandboxes in the machine's own network, whichever runtime made them: what they serve there, and who is reached by their endpoints."""

import contextlib
import http.server
import threading

import httpx

from .inside import say

# Of a server's configuration.
POOL = """
[[local.pools]]
name = "ready"
image = "sallyport/base:latest"
cpu = "1"
memory = "256Mi"
waiting = "1"
most = "5"
"""


def serve(sandbox, port, address="127.0.0.1"):
    say(sandbox, f"mkdir -p /site && echo {sandbox.id} > /site/who && cd /site && "
                 f"(setsid python3 -m http.server --bind {address} {port} >/dev/null 2>&1 &) && "
                 f"for i in $(seq 200); do curl -s -o /dev/null http://127.0.0.1:{port}/ && break; sleep 0.05; done")


def ask(server, sandbox, port, proxied=False):
    """What a client gets at an endpoint: status and text."""
    path = f"/v1/sandboxes/{sandbox.id}/endpoints/{port}"
    told = server.api.get(path, params={"use_server_proxy": proxied}).json()
    headers = (told.get("headers") or {}) | {"OPEN-SANDBOX-API-KEY": server.key}
    answer = httpx.get(f"http://{told['endpoint']}/who", headers=headers, timeout=20)
    return answer.status_code, answer.text.strip()


@contextlib.contextmanager
def page_of_the_machine():
    """A server of root's in the machine's network, as every container's is; the port."""
    class Mine(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"the machine's")

        def log_message(self, *words):
            pass

    mine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    threading.Thread(target=mine.serve_forever, daemon=True).start()
    try:
        yield mine.server_port
    finally:
        mine.shutdown()
        mine.server_close()
