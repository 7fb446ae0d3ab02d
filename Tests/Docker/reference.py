"""The reference's own server, `opensandbox-server` of PyPI as it is, with our images in the place of its own."""

import contextlib
import ctypes
import os
import pathlib
import secrets
import subprocess
from datetime import timedelta

import httpx
from opensandbox import SandboxManagerSync, SandboxSync
from opensandbox.config import ConnectionConfig, ConnectionConfigSync
from support.waiting import eventually, patient

ROOT = pathlib.Path(__file__).parents[2]
PORT = 8090
NEW_NETWORK = 0x40000000


@contextlib.contextmanager
def within(namespace):
    """This thread's sockets are of that network namespace meanwhile, and those of threads that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    other = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(other, NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        libc.setns(own, NEW_NETWORK)
        os.close(own)
        os.close(other)


class ReferenceServer:
    """It stands where the engine is, and so must its clients: see `within`."""

    def __init__(self, engine, folder):
        self.engine, self.folder, self.key = engine, folder, secrets.token_hex(16)
        self.process = None
        subprocess.run([ROOT / "scripts/python-environment.sh", "reference", "reference.txt"], check=True, timeout=600)
        self.config = folder / "sandbox.toml"
        self.config.write_text(f"""
[server]
host = "127.0.0.1"
port = {PORT}
api_key = "{self.key}"
[runtime]
type = "docker"
execd_image = "sallyport/execd:latest"
[egress]
image = "sallyport/egress:opensandbox-server"
mode = "dns+nft"
[docker]
network_mode = "bridge"
publish_host = "127.0.0.1"
[store]
type = "sqlite"
path = "{folder}/store.db"
[ingress]
mode = "direct"
""")

    def launch(self):
        """Starts it, and does not wait."""
        program = ROOT / ".build-conformance/reference/bin/opensandbox-server"
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.engine.namespace}", program, "--config", self.config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment | {"HOME": str(self.folder), "DOCKER_HOST": self.engine.address})

    def start(self):
        self.launch()
        with within(self.engine.namespace):
            eventually(self._is_up, within=60, what="the reference's server")
        return self

    def _is_up(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
        try:
            return httpx.get(f"http://127.0.0.1:{PORT}/health").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(patient(15))
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    # Its clients

    @property
    def api(self):
        return httpx.Client(
            base_url=f"http://127.0.0.1:{PORT}", headers={"OPEN-SANDBOX-API-KEY": self.key}, timeout=patient(60))

    def _settings(self, more):
        return {"domain": f"127.0.0.1:{PORT}", "api_key": self.key, "request_timeout": timedelta(seconds=patient(60)),
                "disable_metrics": True, **more}

    def connection(self, **more):
        return ConnectionConfigSync(**self._settings(more))

    def asynchronous(self, **more):
        return ConnectionConfig(**self._settings(more))

    def create(self, image="base", use_server_proxy=False, **more):
        if "snapshot_id" not in more:
            more["image"] = image
        return SandboxSync.create(
            connection_config=self.connection(use_server_proxy=use_server_proxy),
            **{"resource": {"cpu": "1", "memory": "256Mi"}, "ready_timeout": timedelta(seconds=patient(60)), **more})

    def manager(self):
        return SandboxManagerSync.create(self.connection())

    def delete_all(self):
        with within(self.engine.namespace), self.api as api:
            for sandbox in api.get("/v1/sandboxes", params={"pageSize": 200}).json()["items"]:
                api.delete(f"/v1/sandboxes/{sandbox['id']}")
            for snapshot in api.get("/v1/snapshots", params={"pageSize": 200}).json()["items"]:
                api.delete(f"/v1/snapshots/{snapshot['id']}")
