"""The two servers that are measured side by side, each with what it stands on: ours with the local runtime, and the reference's
`opensandbox-server` on a dockerd, both with our execd in their sandboxes."""

import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Tests" / folder) for folder in ("Docker", "Bypass", "Faults", "Conformance")]

from engine import BASE, Engine  # noqa: E402
from reference import PORT, ReferenceServer, within  # noqa: E402
from support.parts import children  # noqa: E402
from support.server import IMAGE, AllInOneServer  # noqa: E402

LIMITS = {"cpu": "1", "memory": "256Mi"}


def rolled(pids, *fields):
    """MiB of these fields of smaps_rollup, over all of these processes."""
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(re.search(rf"^{field}:\s+(\d+)", text, re.M)[1]) for field in fields)
    return total / 1024


def proportional(pids):
    """MiB of memory of these processes; what several share is counted once among them."""
    return rolled(pids, "Pss")


def written(pids):
    """MiB that they alone have written: what the machine cannot take back, which it can of the pages of a program's file."""
    return rolled(pids, "Private_Dirty", "Swap")


def everybody():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def available():
    """MiB that the machine could still give."""
    return int(re.search(r"^MemAvailable:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M)[1]) / 1024


class Side:
    """One of them, as clients see it. Subclasses set `name`, `port`, `key`, `image` and `words`, which run a program beside it."""

    words = ()

    def request(self, method, path, body=None, connection=None):
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"OPEN-SANDBOX-API-KEY": self.key, "Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{self.name}: {method} {path}: {answer.status} {data[:300]}")
        return json.loads(data) if data else None

    def create(self, source=None, **more):
        body = {"image": {"uri": self.image}, "timeout": 7200, "entrypoint": ["sleep", "7200"], "resourceLimits": LIMITS, **more}
        if source:
            del body["image"]
            body |= source
        return self.request("POST", "/v1/sandboxes", body)["id"]

    def create_many(self, count, at_once=8):
        with concurrent.futures.ThreadPoolExecutor(at_once) as threads:
            return list(threads.map(lambda _: self.create(), range(count)))

    def delete_many(self, ids, at_once=8):
        with concurrent.futures.ThreadPoolExecutor(at_once) as threads:
            list(threads.map(lambda name: self.request("DELETE", f"/v1/sandboxes/{name}"), ids))

    def command(self, sandbox, command="true"):
        """By execd, as the client is told to reach it."""
        endpoint = self.request("GET", f"/v1/sandboxes/{sandbox}/endpoints/44772")
        host, _, path = endpoint["endpoint"].partition("/")
        deadline = time.monotonic() + 60
        while True:
            connection = http.client.HTTPConnection(host, timeout=120)
            try:
                connection.request("POST", f"/{path}/command".replace("//", "/"), json.dumps({"command": command}),
                                   {"Content-Type": "application/json", **endpoint.get("headers", {})})
                data = connection.getresponse().read()
                if b"execution_complete" not in data:
                    raise RuntimeError(f"the command said {data[:300]}")
                return
            except OSError:
                # What has only just begun listens in a moment.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.002)
            finally:
                connection.close()

    def rate(self, path, seconds, script=None):
        """Answers a second to eight connections that are kept; failures, which are told of, are no answers."""
        words = [*self.words, "wrk", "-t1", "-c8", f"-d{seconds}s", "-H", f"OPEN-SANDBOX-API-KEY: {self.key}"]
        if script:
            words += ["-s", str(script)]
        done = subprocess.run([*words, f"http://127.0.0.1:{self.port}{path}"], capture_output=True, text=True, check=True)
        answered, rate = (float(re.search(text, done.stdout)[1]) for text in (r"(\d+) requests in", r"Requests/sec:\s+([\d.]+)"))
        failed = int((re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout) or [0, 0])[1])
        if failed:
            print(f"  {self.name}: {failed} of {answered:.0f} requests failed", flush=True)
        return rate * (1 - failed / answered)

    def starts(self):
        """Seconds from its beginning until it answers."""
        begun = time.perf_counter()
        self.launch()
        while True:
            try:
                self.request("GET", "/health")
                return time.perf_counter() - begun
            except (OSError, http.client.HTTPException):
                if self.server.process.poll() is not None:
                    raise RuntimeError(f"{self.name} has ended") from None
                time.sleep(0.002)


class Ours(Side):
    name, image = "ours", IMAGE

    def __init__(self, world):
        self.server = AllInOneServer(world)
        self.key, self.port = self.server.key, self.server.port
        # As it is installed.
        text = self.server.config.read_text().replace('level = "DEBUG"', 'level = "INFO"')
        # A block of addresses that is one, for a thousand sandboxes and more.
        text = re.sub(r'address_pool = "(10\.\d+)\.\d+\.0/\d+"', r'address_pool = "\1.0.0/16"', text)
        self.server.config.write_text(text)

    def launch(self):
        self.server.process = self.server.launch()

    def stop(self):
        self.server.stop()

    def pids(self):
        return [self.server.process.pid, *children(self.server.process.pid)]

    def close(self):
        self.server.tear_down()

    def there(self):
        return within_nothing()


class Theirs(Side):
    name, image, port = "opensandbox-server", "base", PORT

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="benchmark-reference-"))
        (self.folder / "engine").mkdir()
        self.engine = Engine(self.folder / "engine")
        self.engine.load("base", BASE)
        self.engine.make("execd", "egress")
        self.server = ReferenceServer(self.engine, self.folder)
        self.key, self.words = self.server.key, ("nsenter", f"--net=/run/netns/{self.engine.namespace}")

    def launch(self):
        self.server.launch()

    def stop(self):
        self.server.stop()

    def pids(self):
        return [self.server.process.pid, *children(self.server.process.pid)]

    def close(self):
        self.server.delete_all()
        self.server.stop()
        self.engine.remove_all()
        self.engine.close()
        subprocess.run(["rm", "-rf", self.folder], check=True)

    def there(self):
        return within(self.engine.namespace)


class within_nothing:
    """Where our server is, everybody is."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None
