"""A Docker engine in a network namespace of its own, which is all the outside that its containers have."""

import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys

from arena import in_namespace
from support.name_server import NameServer
from support.waiting import answers, eventually
from support.world import run

ONE, TWO, RESOLVER = "198.51.100.1", "198.51.100.2", "198.51.100.53"
ROOT = pathlib.Path(__file__).parents[2]
BASE = os.environ.get("SALLYPORT_BASE_IMAGE", str(ROOT / ".build-base/base"))
OUTSIDE = pathlib.Path(__file__).parents[1] / "Conformance/support/outside.py"
# Without platforms that need a device.
GVISOR = ["--network=host", "--platform=ptrace"]


def runtimes(folder, **arguments):
    """The file that tells an engine of gVisor under these names."""
    file = pathlib.Path(folder, "daemon.json")
    path = shutil.which("runsc") or "/usr/bin/runsc"
    file.write_text(json.dumps({"runtimes": {
        name: {"path": path, "runtimeArgs": words} for name, words in arguments.items()}}))
    return str(file)


def own_disk(folder, *make):
    """Puts the files of an engine into one, since thousands of them take many seconds to remove; why not, where nothing can be mounted.

    `make` is the program that makes its file system.
    """
    image, data = pathlib.Path(folder, "disk"), pathlib.Path(folder, "data")
    data.mkdir()
    for words in (["truncate", "--size=8G", image], [*make, image], ["mount", "-o", "loop", image, data]):
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            image.unlink(missing_ok=True)
            return done.stderr.strip() or f"{words[0]} fails"
    return None


USUAL_DISK = ["mkfs.ext4", "-q", "-F", "-O", "^has_journal"]


class Engine:
    def __init__(self, folder):
        self.folder = folder
        self.namespace = f"docker-{secrets.token_hex(3)}"
        # Paths of unix sockets are short.
        self.socket = f"/tmp/{self.namespace}.sock"
        self.processes, self.mine, self.printed = [], [], {}
        run("ip", "netns", "add", self.namespace)
        try:
            own_disk(folder, *USUAL_DISK)
            run("ip", "-n", self.namespace, "link", "set", "lo", "up")
            for address in (ONE, TWO, RESOLVER):
                run("ip", "-n", self.namespace, "address", "add", f"{address}/32", "dev", "lo")
            self.names = in_namespace(self.namespace, lambda: NameServer(RESOLVER, 53))
            self.names.add("one.example", ONE)
            self.names.add("two.example", TWO)
            self.spawn(sys.executable, "-u", str(OUTSIDE), ONE, TWO)
            self.spawn(
                "dockerd", "--host", f"unix://{self.socket}", "--data-root", f"{folder}/data", "--exec-root",
                f"{folder}/exec", "--pidfile", f"{folder}/pid", "--bip", "10.213.16.1/20", "--dns", RESOLVER,
                "--config-file", runtimes(folder, runsc=GVISOR))
            eventually(
                lambda: self.run("info", check=False).returncode == 0 or self.processes[-1].poll() is not None,
                what="the engine")
            self.run("info")
        except BaseException:
            self.close()
            raise

    def spawn(self, *words):
        with open(f"{self.folder}/{pathlib.Path(words[0]).name}.log", "w") as log:
            self.processes.append(
                subprocess.Popen(
                    ["nsenter", f"--net=/run/netns/{self.namespace}", *words], stdout=log, stderr=subprocess.STDOUT))

    def run(self, *words, check=True, timeout=60):
        done = subprocess.run(
            ["docker", "--host", f"unix://{self.socket}", *words], capture_output=True, text=True, timeout=timeout,
            env=os.environ | {"DOCKER_BUILDKIT": "0"})
        if check and done.returncode:
            raise AssertionError(f"docker {' '.join(words)}: {done.stdout}{done.stderr}")
        return done

    @property
    def address(self):
        """As DOCKER_HOST has it."""
        return f"unix://{self.socket}"

    def make(self, *images):
        """Our images of these names, from what has been built, each once; what was printed of them."""
        for image in images:
            if image not in self.printed:
                made = subprocess.run(
                    [ROOT / "scripts/images.sh", image], capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL,
                    env=os.environ | {"DOCKER_HOST": self.address, "DOCKER_BUILDKIT": "0"})
                assert made.returncode == 0, made.stdout + made.stderr
                self.printed[image] = made.stdout
        return "".join(self.printed[image] for image in images)

    def things(self):
        """Every container and volume that there is."""
        return set(self.run("ps", "--all", "--quiet").stdout.split()) | set(self.run("volume", "ls", "--quiet").stdout.split())

    def inventory(self):
        """Everything that there is: containers, networks, volumes, images."""
        return {
            "containers": set(self.run("ps", "--all", "--quiet").stdout.split()),
            "networks": set(self.run("network", "ls", "--quiet").stdout.split()),
            "volumes": set(self.run("volume", "ls", "--quiet").stdout.split()),
            "images": set(self.run("images", "--all", "--quiet").stdout.split()),
        }

    def left(self, before):
        """What there is that an inventory did not have; but for execd's own volume, which is there from the first create on."""
        now = self.inventory()
        return {
            kind: names for kind in now
            if (names := {name for name in now[kind] - before[kind] if not name.startswith("sallyport-execd-")})}

    def load(self, image, root, *changes):
        """An image of a folder's files; `changes` are lines of a Dockerfile."""
        packed = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(
            ["docker", "--host", f"unix://{self.socket}", "import", *(f"--change={line}" for line in changes), "-", image], stdin=packed.stdout, check=True,
            stdout=subprocess.DEVNULL, timeout=120)
        assert packed.wait() == 0

    def build(self, image, text):
        """An image by a Dockerfile without a context."""
        subprocess.run(
            ["docker", "--host", self.address, "build", "--quiet", "--tag", image, "-"], input=text, text=True, check=True,
            stdout=subprocess.DEVNULL, timeout=300, env=os.environ | {"DOCKER_BUILDKIT": "0"})

    def start(self, name, *options, image="base", command=("sleep", "600")):
        self.run("run", "--detach", "--name", name, *options, image, *command)
        self.mine.append(name)

    def guard(self, *options, rules=(), **settings):
        """The sidecar as README and docs start it; ready when this returns."""
        policy = {"egress": [{"action": "allow", "target": target} for target in rules]}
        values = {"TOKEN": "the-token", "RULES": json.dumps(policy)} | settings
        environment = [part for name, value in values.items() for part in ("-e", f"OPENSANDBOX_EGRESS_{name}={value}")]
        self.start(
            "guard", "--cap-drop", "ALL", "--cap-add", "NET_ADMIN", *environment, *options, image="sallyport/egress",
            command=())
        eventually(lambda: "guarding" in self.logs("guard") or not self.is_running("guard"), what="the guard")
        assert self.is_running("guard"), self.logs("guard")

    def sandbox(self):
        self.start("sandbox", "--network", "container:guard", "--cap-drop", "ALL")

    def inside(self, *words, name="sandbox"):
        return self.run("exec", name, *words, check=False)

    def fetch(self, url, name="sandbox"):
        """The page, or None."""
        done = self.inside("curl", "--silent", "--show-error", "--max-time", "5", url, name=name)
        return done.stdout if done.returncode == 0 else None

    def ask_policy(self, *options, token="the-token"):
        """Asks the guard's API as the host does."""
        url = f"http://{self.inspect('guard', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}')}:18080/policy"
        return json.loads(
            run("nsenter", f"--net=/run/netns/{self.namespace}", "curl", "--silent", "--fail", "--max-time", "5", "-H",
                f"OPENSANDBOX-EGRESS-AUTH: {token}", *options, url))

    def inspect(self, name, template):
        return self.run("inspect", "--format", template, name).stdout.strip()

    def is_running(self, name):
        return self.inspect(name, "{{.State.Running}}") == "true"

    def logs(self, name):
        done = self.run("logs", name)
        return done.stdout + done.stderr

    def remove_all(self):
        # A sandbox before the container whose network it has.
        while self.mine:
            self.run("rm", "--force", "--volumes", self.mine.pop())

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            answers(lambda: process.wait(20))
            process.kill()
        if hasattr(self, "names"):
            self.names.close()
        subprocess.run(["ip", "netns", "delete", self.namespace], capture_output=True)
        pathlib.Path(self.socket).unlink(missing_ok=True)
        for mounted in sorted(self._mounts(), key=len, reverse=True):
            subprocess.run(["umount", "--lazy", mounted], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _mounts(self):
        with open("/proc/self/mounts") as table:
            return [line.split()[1] for line in table if line.split()[1].startswith(f"{self.folder}/")]
