"""Starts the release build and measures what its users wait for, beside peers, in one run.

    python3 Benchmarks/AllInOneServer/server.py [count]      as root, after `make build base-image`
"""

import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

from peers import Docker, bare_runtime, spawn

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 50
REPOSITORY = os.path.realpath(f"{os.path.dirname(__file__)}/../..")
BASE = os.environ.get("BASE", "/var/lib/sallyport/base")
BLOCK = 10
FOLDER = f"/tmp/sallyport-benchmark-{os.getpid()}"
TAG = "b" + random.choice("abcdefghijk")
KEY = "benchmark"


class Server:
    def __init__(self):
        os.makedirs(FOLDER)
        self.port, self.gateway = 18480, 18488
        with open(f"{FOLDER}/config.toml", "w") as file:
            file.write(f"""
[server]
port = {self.port}
api_key = "{KEY}"
[log]
level = "ERROR"
[ingress]
port = {self.gateway}
[local]
state_dir = "{FOLDER}/state"
run_dir = "{FOLDER}/run"
tag = "{TAG}"
address_pool = "10.234.0.0/16"
base_image = "{BASE}"
[egress]
upstreams = ["127.0.0.1:9"]
""")
        self.process = subprocess.Popen(
            [f"{REPOSITORY}/.build/release/sallyport", "serve", "--config", f"{FOLDER}/config.toml"],
            stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                self.call(self.connect(), "GET", "/health")
                break
            except OSError:
                time.sleep(0.02)

    def connect(self, gateway=False):
        return http.client.HTTPConnection("127.0.0.1", self.gateway if gateway else self.port)

    def call(self, connection, method, path, body=None, headers=None):
        kind = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body, {"OPEN-SANDBOX-API-KEY": KEY, **kind, **(headers or {})})
        answer = connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]}")
        return data

    def create(self, connection):
        body = {"image": {"uri": "sallyport/base:latest"}, "timeout": 3600, "entrypoint": ["sleep", "3600"],
                "resourceLimits": {"cpu": "1", "memory": "512Mi"},
                "networkPolicy": {"defaultAction": "deny", "egress": [{"action": "allow", "target": "pypi.org"}]}}
        return json.loads(self.call(connection, "POST", "/v1/sandboxes", json.dumps(body)))["id"]

    def delete(self, connection, identifier):
        self.call(connection, "DELETE", f"/v1/sandboxes/{identifier}")

    def settle(self):
        """Returns when the kernel has taken every deleted sandbox's link apart."""
        while any(name.startswith(f"spv{TAG}") for name in os.listdir("/sys/class/net")):
            time.sleep(0.05)

    def memory(self):
        """KiB: resident, and written by this process alone (code that nobody else happens to run is not counted)."""
        with open(f"/proc/{self.process.pid}/smaps_rollup") as file:
            lines = dict(line.split(":") for line in file.read().splitlines()[1:])
        number = lambda name: int(lines[name].split()[0])
        return number("Rss"), number("Private_Dirty")

    def stop(self):
        connection = self.connect()
        while True:
            items = json.loads(self.call(connection, "GET", "/v1/sandboxes?pageSize=200"))["items"]
            if not items:
                break
            for item in items:
                self.delete(connection, item["id"])
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        subprocess.run(["nft", "delete", "table", "inet", f"sallyport_{TAG}"], check=False)
        shutil.rmtree(FOLDER, ignore_errors=True)


def timed(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def show(name, times):
    times = sorted(times)
    middle = statistics.median(times)
    print(f"{name:<52} p50 {middle * 1e3:8.2f} ms   p99 {times[min(len(times) - 1, len(times) * 99 // 100)] * 1e3:8.2f} ms")
    return middle


def execd_headers(identifier):
    """What the endpoint of execd would say."""
    token = pathlib.Path(f"{FOLDER}/state/sandboxes/{identifier}/token").read_text()
    return {"OpenSandbox-Ingress-To": f"{identifier}-44772", "X-EXECD-ACCESS-TOKEN": token}


def main():
    server = Server()
    docker = None
    try:
        print(f"{os.cpu_count()} cores, {COUNT} of each, in turn")
        memory = {0: server.memory()}
        api, gateway = server.connect(), server.connect(gateway=True)
        docker = Docker(FOLDER, BASE) if shutil.which("dockerd") else None
        creating, deleting, bare, dockers = [], [], [], []
        # In blocks, each after the one before has settled: taking namespaces apart goes on after a deletion, and would be
        # measured with whatever comes next.
        for _ in range(COUNT // BLOCK):
            made = []
            for _ in range(BLOCK):
                def create():
                    identifier = server.create(api)
                    server.call(gateway, "GET", "/ping", headers=execd_headers(identifier))
                    return identifier
                seconds, identifier = timed(create)
                creating.append(seconds)
                made.append(identifier)
            for identifier in made:
                bundle = f"{FOLDER}/state/sandboxes/{identifier}/bundle"
                bare.append(bare_runtime(bundle, FOLDER, len(bare)))
            deleting += [timed(lambda: server.delete(api, identifier))[0] for identifier in made]
            server.settle()
            if docker:
                dockers += [docker.run() for _ in range(BLOCK)]
                docker.settle()
        ours = show("create until execd answers through the gateway", creating)
        peer = show("  crun run of true in the same bundle", bare)
        print(f"  ratio {ours / peer:.2f}")
        if dockers:
            print(f"  ratio to docker run: {ours / show('  docker run --detach of the same files', dockers):.2f}")
            docker.stop()
            docker = None
        show("delete", deleting)

        identifier = server.create(api)
        command = json.dumps({"argv": ["/bin/true"]})
        headers = execd_headers(identifier)
        execd = http.client.HTTPConnection(address_of(identifier), 44772)
        for _ in range(20):
            server.call(execd, "POST", "/command", command, headers)
        direct = [timed(lambda: server.call(execd, "POST", "/command", command, headers))[0] for _ in range(300)]
        through = [timed(lambda: server.call(gateway, "POST", "/command", command, headers))[0] for _ in range(300)]
        mine = show("POST /command of true, kept-alive connection", direct)
        show("  the same through the gateway", through)
        print(f"  ratio {mine / show('  posix_spawn and wait of true', spawn()):.2f}")
        server.delete(api, identifier)

        def one():
            server.create(server.connect())

        for count in (10, 100):
            threads = [threading.Thread(target=one) for _ in range(count if count == 10 else 90)]
            seconds, _ = timed(lambda: ([t.start() for t in threads], [t.join() for t in threads]))
            if count == 100:
                print(f"90 creates at once, one client: {seconds * 1e3:.0f} ms, {seconds * 1e3 / 90:.1f} ms each")
            memory[count] = server.memory()
        for count, (resident, private) in memory.items():
            print(f"memory of the server with {count:3} sandboxes: resident {resident / 1024:6.1f} MiB, "
                  f"private {private / 1024:6.1f} MiB")
        print(f"  private memory for each: {(memory[100][1] - memory[0][1]) / 100:.0f} KiB")
    finally:
        if docker:
            docker.stop()
        server.stop()


def address_of(identifier):
    with open(f"{FOLDER}/state/sandboxes/{identifier}/hosts") as file:
        return file.read().splitlines()[2].split("\t")[0]


main()
