"""`sallyport ingress` as a process of its own, on the state of a running server."""

import os
import signal
import subprocess

import httpx
from support.server import BACKTRACE, BINARY, free_port
from support.waiting import answers, eventually

DOMAIN = "sandboxes.example"


class SeparateGateway:
    def __init__(self, server, mode, **ingress):
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self.mode = mode
        self.folder = server.folder
        self.config = self.folder / f"ingress-{mode}.toml"
        own = "".join(f"{key} = {value}\n" for key, value in ingress.items())
        text = server.config.read_text().replace(
            f"[ingress]\nport = {server.gateway_port}\n", f"[ingress]\nport = {self.port}\n{own}")
        if "[ingress.gateway" not in text:
            address = DOMAIN if mode == "wildcard" else f"127.0.0.1:{self.port}"
            text += f'[ingress.gateway]\naddress = "{address}"\n[ingress.gateway.route]\nmode = "{mode}"\n'
        self.config.write_text(text)
        self.process = None

    def start(self):
        with open(self.folder / f"ingress-{self.mode}.log", "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "ingress", "--config", str(self.config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **BACKTRACE}, start_new_session=True)
        eventually(self._listens, within=30, what="the separate gateway")
        return self

    def _listens(self):
        assert self.process.poll() is None, (self.folder / f"ingress-{self.mode}.log").read_text()[-2000:]
        # It serves when it knows what the server knows.
        return answers(lambda: httpx.get(f"http://127.0.0.1:{self.port}/status.ok").status_code == 200, httpx.TransportError)

    def stop(self):
        """Asks it to end; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()
