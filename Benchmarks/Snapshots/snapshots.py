"""What a snapshot of a large layer costs, how long the sandbox stands still for it, and a create from it beside one from the image.

    SALLYPORT_BINARY=.build/release/sallyport python3 Benchmarks/Snapshots/snapshots.py [MiB] [count]
    as root, with the packages of Tests/Conformance/requirements.txt
"""

import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Tests/Conformance"))

from support.server import IMAGE, AllInOneServer  # noqa: E402
from support.world import World  # noqa: E402

MEBIBYTES = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 20


def milliseconds(times):
    return f"p50 {statistics.median(times) * 1000:.1f} ms, most {max(times) * 1000:.1f} ms"


def timed(call):
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def create(client, source):
    body = {**source, "entrypoint": ["sleep", "100000"], "timeout": 600, "resourceLimits": {"cpu": "1", "memory": "256Mi"}}
    answer, took = timed(lambda: client.post("/v1/sandboxes", json=body))
    assert answer.status_code == 202 and answer.json()["status"]["state"] == "Running", answer.text
    client.delete(f"/v1/sandboxes/{answer.json()['id']}")
    return took


def main():
    world = World()
    server = AllInOneServer(world).start()
    try:
        source = server.create()
        source.commands.run(f"dd if=/dev/urandom of=/big bs=1M count={MEBIBYTES} status=none")
        with server.api as client:
            began = time.perf_counter()
            snapshot = client.post(f"/v1/sandboxes/{source.id}/snapshots").json()["id"]
            # It answers again when it no longer stands still.
            source.commands.run("true")
            still = time.perf_counter() - began
            while (state := client.get(f"/v1/snapshots/{snapshot}").json()["status"]["state"]) == "Creating":
                time.sleep(0.005)
            print(f"a layer of {MEBIBYTES} MiB: {state} after {time.perf_counter() - began:.2f} s, of which the sandbox "
                  f"stood still {still:.2f} s at most")
            cold, restored = [], []
            for _ in range(COUNT):
                cold.append(create(client, {"image": {"uri": IMAGE}}))
                restored.append(create(client, {"snapshotId": snapshot}))
            print(f"create from the image:    {milliseconds(cold)}")
            print(f"create from the snapshot: {milliseconds(restored)}")
    finally:
        server.tear_down()
        world.close()


main()
