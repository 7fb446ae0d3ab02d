"""What a create from a pool costs, beside one without, until its first command has ended.

    scripts/bench.sh pools [count]      as root, after `make build base-image`

One client asks over HTTP, with its connection kept, as the official SDK does. A command is `true`, through the gateway.
"""

import concurrent.futures
import http.client
import json
import os
import statistics
import sys
import time

from support.server import BINARY, IMAGE, AllInOneServer
from support.waiting import eventually
from support.world import World

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 30
BURST = 100
LIMITS = {"cpu": "1", "memory": "512Mi"}


class Client:
    def __init__(self, server):
        self.key, self.port = server.key, server.port
        self.api = http.client.HTTPConnection("127.0.0.1", server.port)

    def ask(self, connection, method, path, body=None, **headers):
        connection.request(
            method, path, json.dumps(body) if body else None,
            {"OPEN-SANDBOX-API-KEY": self.key, "Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]}")
        return data

    def create(self, pool=None):
        body = {"image": {"uri": IMAGE}, "timeout": 3600, "entrypoint": ["sleep", "3600"], "resourceLimits": LIMITS,
                "networkPolicy": {"defaultAction": "deny", "egress": [{"action": "allow", "target": "pypi.org"}]}}
        if pool:
            body["extensions"] = {"poolRef": pool}
        return json.loads(self.ask(self.api, "POST", "/v1/sandboxes", body))["id"]

    def command(self, sandbox):
        endpoint = json.loads(self.ask(self.api, "GET", f"/v1/sandboxes/{sandbox}/endpoints/44772"))
        connection = http.client.HTTPConnection(endpoint["endpoint"])
        try:
            data = self.ask(connection, "POST", "/command", {"command": "true"}, **endpoint.get("headers", {}))
        finally:
            connection.close()
        if b"execution_complete" not in data:
            raise RuntimeError(f"the command said {data[:300]}")

    def delete(self, sandbox):
        self.ask(self.api, "DELETE", f"/v1/sandboxes/{sandbox}")


def show(name, times):
    times = sorted(times)
    print(f"{name:<44} p50 {statistics.median(times) * 1e3:7.2f} ms   p99 {times[len(times) * 99 // 100] * 1e3:7.2f} ms",
          flush=True)
    return statistics.median(times)


def capacity(waiting):
    return {"bufferMin": 0, "bufferMax": waiting, "poolMin": 0, "poolMax": 1000}


def resize(server, client, waiting):
    client.ask(client.api, "PUT", "/v1/pools/bench", {"capacitySpec": capacity(waiting)})

    def is_ready():
        status = json.loads(client.ask(client.api, "GET", "/v1/pools/bench"))["status"]
        return status["available"] == waiting and status["total"] == status["available"] + status["allocated"]

    eventually(is_ready, within=120, what="a full pool")


def one_by_one(server, client):
    """In turn, each with nothing else at work: what a pool makes anew is waited for outside the clock."""
    times = {"cold": ([], []), "pool": ([], [])}
    for _ in range(COUNT):
        for kind, pool in ("cold", None), ("pool", "bench"):
            resize(server, client, 1)
            begun = time.perf_counter()
            sandbox = client.create(pool)
            created = time.perf_counter()
            client.command(sandbox)
            times[kind][0].append(created - begun)
            times[kind][1].append(time.perf_counter() - begun)
            client.delete(sandbox)
    for kind in times:
        show(f"create, {kind}", times[kind][0])
    cold, warm = (show(f"create until the first command's end, {kind}", times[kind][1]) for kind in times)
    print(f"  ratio {warm / cold:.3f}")


def at_once(server, client, pool):
    clients = [Client(server) for _ in range(16)]

    def some(part):
        return [clients[part].create(pool) for _ in range(part, BURST, len(clients))]

    begun = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as threads:
        made = [sandbox for part in threads.map(some, range(len(clients))) for sandbox in part]
    print(f"{BURST} sandboxes by 16 connections, {'from a pool' if pool else 'cold'}: {time.perf_counter() - begun:.2f} s", flush=True)
    for sandbox in made:
        client.delete(sandbox)


def main():
    world = World()
    server = AllInOneServer(world)
    try:
        server.start()
        client = Client(server)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {COUNT} of each in turn, {BINARY}")
        client.ask(client.api, "POST", "/v1/pools", {
            "name": "bench", "capacitySpec": capacity(0),
            "template": {"spec": {"containers": [{"image": IMAGE, "resources": {"limits": LIMITS}}]}}})
        one_by_one(server, client)
        resize(server, client, 0)
        at_once(server, client, None)
        resize(server, client, BURST)
        at_once(server, client, "bench")
    finally:
        server.tear_down()
        world.close()


main()
