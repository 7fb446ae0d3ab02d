"""A Docker engine on the machine itself, without a bridge and without rules: what sandboxes have of a network is the server's."""

import os
import pathlib
import secrets
import signal
import subprocess

from engine import USUAL_DISK, Engine, own_disk
from support.server import BASE_IMAGE, IMAGE
from support.waiting import eventually


class PlainEngine(Engine):
    # What it does to the network of the machine.
    network = ["--bridge", "none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]

    def __init__(self, folder, *more):
        """`more` are further words of dockerd's."""
        self.folder, self.more = folder, more
        # No namespace has this name.
        self.namespace = f"docker-{secrets.token_hex(3)}"
        self.socket = f"/tmp/{self.namespace}.sock"
        self.processes, self.mine, self.printed = [], [], {}
        # Of a test that has none of its own for it.
        if not pathlib.Path(folder, "data").exists():
            own_disk(folder, *USUAL_DISK)
        self.start_daemon()

    @property
    def tables(self):
        """Of a server's configuration."""
        return f'[runtime]\ntype = "docker"\n[docker]\nhost = "unix://{self.socket}"\n'

    @property
    def options(self):
        """Of a server whose sandboxes are containers of it."""
        return {"tables": self.tables}

    def prepare(self):
        """Loads the images that such a server takes."""
        self.load(IMAGE, BASE_IMAGE)
        return self

    def start_daemon(self):
        try:
            with open(f"{self.folder}/dockerd.log", "ab") as log:
                self.processes.append(
                    subprocess.Popen(
                        ["dockerd", "--host", f"unix://{self.socket}", "--data-root", f"{self.folder}/data", "--exec-root",
                         f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid", *self.network, *self.more],
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        env={key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}))
            eventually(
                lambda: self.run("info", check=False).returncode == 0 or self.processes[-1].poll() is not None,
                what="the engine")
            self.run("info")
        except BaseException:
            self.close()
            raise

    def kill_daemon(self):
        """As if the machine had shot it, and containerd with it; containers stay until the next one starts."""
        process = self.processes.pop()
        process.kill()
        process.wait(30)
        below = pathlib.Path(self.folder, "exec/containerd/containerd.pid")
        os.kill(int(below.read_text()), signal.SIGKILL)
        for file in (below, pathlib.Path(self.folder, "pid")):
            file.unlink(missing_ok=True)


class BridgedEngine(PlainEngine):
    """One with a bridge and rules of its own, for a machine that is a network namespace of the test's."""
    gateway, gateway_v6 = "10.213.7.1", "fd5a:d0c::1"
    # Containers are told a resolver that is not there: their guard takes every query.
    network = ["--bip", f"{gateway}/24", "--ipv6", "--fixed-cidr-v6", "fd5a:d0c::/64", "--dns", "192.0.2.53"]

    @property
    def options(self):
        return {"tables": self.tables, "egress": {"placement": '"sidecar"', "image": '"sallyport/egress"'}}

    def prepare(self):
        super().prepare()
        self.make("egress")
        return self
