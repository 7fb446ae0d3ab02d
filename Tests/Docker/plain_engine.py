"""A Docker engine on the machine itself, without a bridge and without rules: what sandboxes have of a network is the server's."""

import os
import pathlib
import secrets
import signal
import subprocess

from engine import Engine
from support.waiting import eventually


class PlainEngine(Engine):
    def __init__(self, folder):
        self.folder = folder
        # No namespace has this name.
        self.namespace = f"docker-{secrets.token_hex(3)}"
        self.socket = f"/tmp/{self.namespace}.sock"
        self.processes, self.mine = [], []
        self.start_daemon()

    @property
    def tables(self):
        """Of a server's configuration."""
        return f'[runtime]\ntype = "docker"\n[docker]\nhost = "unix://{self.socket}"\n'

    def start_daemon(self):
        try:
            with open(f"{self.folder}/dockerd.log", "ab") as log:
                self.processes.append(
                    subprocess.Popen(
                        ["dockerd", "--host", f"unix://{self.socket}", "--data-root", f"{self.folder}/data", "--exec-root",
                         f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid", "--bridge", "none", "--iptables=false",
                         "--ip-forward=false", "--ip-masq=false"],
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

    def inventory(self):
        """Everything that there is: containers, networks, volumes, images."""
        return {
            "containers": set(self.run("ps", "--all", "--quiet").stdout.split()),
            "networks": set(self.run("network", "ls", "--quiet").stdout.split()),
            "volumes": set(self.run("volume", "ls", "--quiet").stdout.split()),
            "images": set(self.run("images", "--all", "--quiet").stdout.split()),
        }
