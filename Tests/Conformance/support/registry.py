"""An image registry on loopback, and a small image in it."""

import base64
import json
import pathlib
import secrets
import shutil
import socket
import subprocess
import tempfile

from .server import free_port
from .waiting import answers, eventually, patient


def run(*words, **more):
    done = subprocess.run(words, capture_output=True, text=True, timeout=patient(60), **more)
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {done.stderr.strip()[-500:]}")


class Registry:
    def __init__(self, is_open=False):
        """`is_open`: for everybody, rather than for one user."""
        self.user, self.password = "reader", secrets.token_hex(12)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-registry-"))
        self.address = f"127.0.0.1:{free_port()}"
        users = self.folder / "users"
        # By standard input: what stands in a command is seen by everybody.
        run("htpasswd", "-Bic", str(users), self.user, input=self.password)
        auth = "" if is_open else f"auth: {{ htpasswd: {{ realm: test, path: {users} }} }}"
        (self.folder / "config.yml").write_text(f"""
version: 0.1
log: {{ level: error, accesslog: {{ disabled: true }} }}
storage: {{ filesystem: {{ rootdirectory: {self.folder}/blobs }} }}
http: {{ addr: "{self.address}" }}
{auth}
""")
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(self.folder / "config.yml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        host, port = self.address.split(":")
        eventually(lambda: answers(lambda: not socket.create_connection((host, int(port))).close(), OSError), what="the registry")

    def push(self, name, *settings, passwd="", group=""):
        """An image of a static busybox alone, and `settings` for `umoci config`; the reference by which it is fetched."""
        files, layout = self.folder / f"files-{len(name)}-{secrets.token_hex(4)}", self.folder / f"layout-{secrets.token_hex(4)}"
        (files / "bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", files / "bin/busybox")
        (files / "bin/sh").symlink_to("busybox")
        for path, text in (("etc/passwd", passwd), ("etc/group", group)):
            if text:
                (files / path).parent.mkdir(exist_ok=True)
                (files / path).write_text(text)
        image = f"{layout}:image"
        run("umoci", "init", "--layout", str(layout))
        run("umoci", "new", "--image", image)
        run("umoci", "insert", "--image", image, str(files), "/")
        run("umoci", "config", "--image", image, "--config.cmd", "/bin/sh", "--config.env", "PATH=/bin",
            *settings)
        return self.push_layout(image, name)

    def push_layout(self, image, name):
        """An image of an OCI layout, byte for byte; the reference by which it is fetched."""
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        keys = self.folder / "auth.json"
        keys.write_text(json.dumps({"auths": {self.address: {"auth": pair}}}))
        run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--authfile", str(keys), f"oci:{image}",
            f"docker://{self.address}/{name}")
        return f"{self.address}/{name}"

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
