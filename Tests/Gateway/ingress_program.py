"""`sallyport-ingress` as a process of its own, beside a server."""

import os
import signal
import subprocess

import httpx
from support.server import BACKTRACE, BINARY, free_port
from support.waiting import answers, eventually

INGRESS = os.environ.get("SALLYPORT_INGRESS", os.path.join(os.path.dirname(BINARY), "sallyport-ingress"))


class IngressProgram:
    """`sallyport-ingress` with the reference gateway's flags, beside a server."""

    def __init__(self, server, *flags, **environment):
        self.port = free_port()
        self.log = server.folder / f"gateway-{self.port}"
        secrets = server.state / "secrets"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [INGRESS, "--host", "127.0.0.1", "--port", str(self.port), "--mode", "header", "--log-level", "info",
                 "--namespace", "opensandbox", f"--directory=unix:{server.folder}/run/directory.sock",
                 "--directory-secret-file", str(secrets / "directory-secret"),
                 "--secure-access-keys-file", str(secrets / "route-keys"), *flags],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                env={**os.environ, **BACKTRACE, **environment}, start_new_session=True)
        eventually(self.is_up, what="the gateway")

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}"

    def is_up(self):
        assert self.process.poll() is None, self.log.read_text()
        return answers(lambda: httpx.get(f"{self.base}/status.ok"), httpx.TransportError)

    def is_ready(self):
        return httpx.get(f"{self.base}/status.ok").status_code == 200

    def get(self, headers, path="/"):
        return httpx.get(self.base + path, headers=headers, timeout=10)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=15)
