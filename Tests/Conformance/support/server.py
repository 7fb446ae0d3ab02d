"""One `sallyport serve` of the test's own, which can be killed and started again on the same state."""

import os
import pathlib
import random
import secrets
import shutil
import signal
import socket
import string
import subprocess
import tempfile
from datetime import timedelta

import httpx
from opensandbox import SandboxManagerSync, SandboxSync
from opensandbox.config import ConnectionConfigSync
from opensandbox.models.sandboxes import NetworkPolicy, NetworkRule

from .leftovers import Leftovers
from .waiting import eventually, patient

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = os.environ.get("SALLYPORT_BINARY", str(ROOT / ".build/debug/sallyport"))
EXECD = os.environ.get("SALLYPORT_EXECD", str(ROOT / ".build/release/execd"))
BASE_IMAGE = os.environ.get("SALLYPORT_BASE_IMAGE", str(ROOT / ".build-base/base"))
# The only OCI runtime of this run, where it is told one; else the server takes what there is.
OCI_RUNTIME = os.environ.get("SALLYPORT_OCI_RUNTIME")
IMAGE = "sallyport/base:latest"
# Of a crash: where it was, and quickly.
BACKTRACE = {"SWIFT_BACKTRACE": "threads=crashed,images=none,registers=none,limit=20,color=no,sanitize=yes"}
SLEEP = ["sleep", "100000"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def deny_but(*targets):
    """A policy that allows `targets` and nothing else."""
    return NetworkPolicy(
        defaultAction="deny", egress=[NetworkRule(action="allow", target=target) for target in targets])


def complaint(log):
    """What a program says that does not come up: the last line that begins with its name. Lines of the log begin with a time."""
    return next((line for line in reversed(log.splitlines()) if line.startswith("sallyport: ")), "")


class AllInOneServer:
    # What its users call.
    program = BINARY

    def __init__(self, world, ingress=None, egress=None, local=None, tables="", prefix=24, **server):
        """`ingress`, `egress`, `local` and the rest are more keys of these sections; `tables` is TOML of other sections.

        `prefix` is the length of the pool's; one of 28 has 13 addresses, which are soon used again.
        """
        self.prefix = prefix
        self.world = world
        self.tag = "q" + "".join(random.choices(string.ascii_lowercase + string.digits, k=3))
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"sallyport-conf-{self.tag}-"))
        self.state = self.folder / "state"
        self.log = self.folder / "log"
        self.port, self.gateway_port = free_port(), free_port()
        self.key = secrets.token_hex(16)
        self.process = None
        # Every sandbox that was ever seen, acknowledged or not.
        self.seen = set()
        self.leftovers = Leftovers(self.tag, self.state)
        self.server, self.ingress, self.egress = server, ingress or {}, egress or {}
        self.local = ({"oci_runtime": f'"{OCI_RUNTIME}"'} if OCI_RUNTIME else {}) | (local or {})
        self.tables = tables
        self.write_configuration()

    def write_configuration(self):
        def lines(keys):
            return "\n".join(f"{key} = {value}" for key, value in keys.items())

        # Not what a server has by default, the engines of the tests, and a tunnel.
        octet = random.choice([n for n in range(201, 256) if n not in (213, 250)]), random.randrange(0, 256)
        self.config = self.folder / "sallyport.toml"
        self.config.write_text(f"""
[server]
port = {self.port}
{lines(self.server)}
[log]
level = "DEBUG"
[ingress]
port = {self.gateway_port}
{lines(self.ingress)}
[local]
state_dir = "{self.state}"
run_dir = "{self.folder}/run"
execd = "{EXECD}"
base_image = "{BASE_IMAGE}"
tag = "{self.tag}"
address_pool = "10.{octet[0]}.{octet[1]}.0/{self.prefix}"
address_pool_v6 = "fd5a:{random.randrange(1, 65536):x}:{random.randrange(1, 65536):x}::/64"
{lines(self.local)}
[egress]
upstreams = ["{self.world.names.address}:{self.world.names.port}"]
presets = "{ROOT}/policies"
{lines(self.egress)}
{self.tables}
""")

    # The process

    # Further arguments of every server. SALLYPORT_TEST_SINGLE=1 runs the tests against one process.
    words = ("--single-process",) if os.environ.get("SALLYPORT_TEST_SINGLE") == "1" else ()

    def launch(self, *, through=(), **environment):
        """Starts a server with this configuration, by way of another program where one is given, and does not wait."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OPENSANDBOX", "OPEN_SANDBOX"))}
        with open(self.log, "ab") as log, open(self.folder / "greeting", "wb") as greeting:
            return subprocess.Popen(
                [*through, BINARY, "serve", "--config", str(self.config), *self.words], stdin=subprocess.DEVNULL,
                stdout=greeting, stderr=log,
                env={**inherited, **BACKTRACE, "OPENSANDBOX_SERVER_API_KEY": self.key, **environment}, start_new_session=True)

    def start(self, **environment):
        self.process = self.launch(**environment)
        eventually(self._is_up, within=30, what="the server")
        return self

    def _is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.last_words()}")
        try:
            # All of its processes, if it has several.
            return httpx.get(f"http://127.0.0.1:{self.port}/health").json() == {"status": "healthy"}
        except httpx.TransportError:
            return False

    def run(self, words, **options):
        """What a user of the machine that it runs on has run."""
        return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)

    def kill(self):
        """As if the machine had shot it: no signal handler runs."""
        self.process.kill()
        self.process.wait(timeout=patient(10))
        self.note()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=patient(15))
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def last_words(self):
        """Why the server ended: the beginning of a crash report, or the end of the log."""
        text = self.log.read_text(errors="replace")
        found = max(text.rfind("Fatal error"), text.rfind(" crashed:\n"))
        return text[found:found + 4000] if found >= 0 else text[-2000:]

    def ends(self):
        """How often one of its processes has ended by itself."""
        return self.log.read_text(errors="replace").count("a process has ended and is started again")

    def restart(self):
        self.stop()
        return self.start()

    def note(self):
        """Remembers the sandboxes that have a folder or a row now."""
        self.seen |= set(self.leftovers.folders()) | set(self.leftovers.rows())

    def tear_down(self):
        """Deletes every sandbox over the API, ends the server, and takes its host rules away."""
        if self.process is not None and self.process.poll() is not None:
            self.start()
        try:
            for sandbox in self.ids():
                self.api.delete(f"/v1/sandboxes/{sandbox}")
            for snapshot in self.api.get("/v1/snapshots", params={"pageSize": 200}).json().get("items", []):
                self.api.delete(f"/v1/snapshots/{snapshot['id']}")
            # Files go a moment later than their sandbox, or with the next start.
            eventually(lambda: not self.leftovers.removed() and not self.leftovers.snapshots(), what="the end of the files")
        finally:
            self.stop()
            subprocess.run(["nft", "delete", "table", "inet", f"sallyport_{self.tag}"], capture_output=True)
            try:
                self.expect_nothing_left()
            finally:
                shutil.rmtree(self.folder, ignore_errors=True)

    def expect_nothing_left(self):
        last = {}

        def clean():
            nonlocal last
            last = self.leftovers.everything(self.seen)
            if self.leftovers.tables() and self.process.poll() is not None:
                last["tables"] = self.leftovers.tables()
            return not last

        try:
            eventually(clean)
        except AssertionError:
            raise AssertionError(f"left behind: {last}") from None

    # Its clients

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self):
        """A plain HTTP client with the key."""
        return httpx.Client(base_url=self.base, headers={"OPEN-SANDBOX-API-KEY": self.key}, timeout=patient(30))

    @property
    def gateway(self):
        return f"http://127.0.0.1:{self.gateway_port}"

    def connection(self, **more):
        return ConnectionConfigSync(
            domain=f"127.0.0.1:{self.port}",
            **{"api_key": self.key, "request_timeout": timedelta(seconds=patient(30)), "disable_metrics": True, **more})

    def environment(self):
        """What official programs are told by."""
        return {**os.environ, "OPEN_SANDBOX_API_KEY": self.key, "OPEN_SANDBOX_DOMAIN": f"127.0.0.1:{self.port}"}

    def create(self, use_server_proxy=False, image=IMAGE, **more):
        """A running sandbox, by the official SDK."""
        sandbox = SandboxSync.create(
            image, connection_config=self.connection(use_server_proxy=use_server_proxy),
            **{"resource": {"cpu": "1", "memory": "256Mi"}, "ready_timeout": timedelta(seconds=patient(30)), **more})
        self.seen.add(sandbox.id)
        return sandbox

    def manager(self):
        return SandboxManagerSync.create(self.connection())

    def body(self, **more):
        """The body of a plain create; None takes a field away."""
        body = {"image": {"uri": IMAGE}, "entrypoint": SLEEP, "timeout": 600,
                "resourceLimits": {"cpu": "1", "memory": "256Mi"}, **more}
        return {key: value for key, value in body.items() if value is not None}

    def ids(self):
        ids, page = [], 1
        while True:
            answer = self.api.get("/v1/sandboxes", params={"page": page, "pageSize": 200}).json()
            ids += [item["id"] for item in answer["items"]]
            if not answer["pagination"]["hasNextPage"]:
                self.seen |= set(ids)
                return ids
            page += 1
