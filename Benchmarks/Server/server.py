"""The lifecycle server beside the reference's `opensandbox-server` on dockerd, in one run: start, memory, requests, creates, snapshots,
and what a sandbox takes.

    scripts/bench.sh server [requests] [create] [snapshot] [memory] [--count 100] [--sandboxes 100,1000] [--mebibytes 1024] [--seconds 5]

As root on a quiet machine, after `make build base-image`. All parts run where none is named.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from sides import BASE, Ours, Theirs, available, everybody, proportional, written  # noqa: E402
from support.waiting import eventually  # noqa: E402
from support.world import World  # noqa: E402

# Each request is for another sandbox: the reference's answers 500 where two change one's at the same time.
PATCH = """
wrk.method = "PATCH"
wrk.headers["Content-Type"] = "application/json"
local ids, number = {IDS}, 0
request = function()
    number = number + 1
    return wrk.format(nil, "/v1/sandboxes/" .. ids[number % #ids + 1] .. "/metadata", nil, '{"round":"' .. number .. '"}')
end
"""


def show(what, ours, theirs, unit, more_is_better=False):
    ratio = ours / theirs if more_is_better else theirs / ours
    print(f"{what:<58} {ours:10.1f} {theirs:10.1f} {unit:<5} {ratio:8.1f} times", flush=True)


def milliseconds(name, times):
    times = sorted(times)
    print(f"{name:<58} p50 {statistics.median(times) * 1e3:8.1f} ms   p99 {times[len(times) * 99 // 100] * 1e3:8.1f} ms", flush=True)
    return statistics.median(times)


def timed(work):
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def crun(folder, number):
    """`crun run` of true in namespaces of its own, on the base image's files: no overlay, no link, no guard, no execd."""
    folder = folder / "bundle"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({
        "ociVersion": "1.0.2", "root": {"path": BASE, "readonly": True},
        "process": {"cwd": "/", "args": ["/bin/true"], "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"cgroupsPath": f"/sallyport-benchmark/{number}",
                  "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]}}))
    # Control groups of both versions at once are not what it takes.
    single = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\""
    words = ["unshare", "-m", "sh", "-c", single, "sh", "crun", "run", "--bundle", str(folder), f"benchmark-{number}"]
    return timed(lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL))[0]


def tell_memory(what, ours, theirs):
    show(f"memory of {what}", *(proportional(side.pids()) for side in (ours, theirs)), "MiB")
    show("  of it, written by it alone", *(written(side.pids()) for side in (ours, theirs)), "MiB")


def starts(ours, theirs, rounds=5):
    found = {ours: [], theirs: []}
    for _ in range(rounds):
        for side in found:
            with side.there():
                side.stop()
                found[side].append(side.starts())
    show("start until GET /health", *(statistics.median(times) * 1e3 for times in found.values()), "ms")
    tell_memory("an idle server", ours, theirs)


def requests(ours, theirs, count, seconds):
    """With so many sandboxes in both."""
    made = {}
    for side in (ours, theirs):
        with side.there():
            made[side] = side.create_many(count)
    for what, path in [("GET /health", "/health"), (f"list of {count}", f"/v1/sandboxes?pageSize={min(count, 200)}"),
                       ("GET of a sandbox", "/v1/sandboxes/{}"), ("PATCH of metadata", "/")]:
        rates = []
        for side in (ours, theirs):
            with side.there(), tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
                script.write(PATCH.replace("IDS", ", ".join(f'"{name}"' for name in made[side])))
                script.flush()
                rates.append(side.rate(path.format(made[side][0]), seconds, script.name if path == "/" else None))
        show(f"{what}, a second", *rates, "", more_is_better=True)
    tell_memory(f"a server with {count} sandboxes, after these", ours, theirs)
    for side in (ours, theirs):
        with side.there():
            side.delete_many(made[side])


def creates(ours, theirs, count):
    """Each alone, in turn; until the first command has ended."""
    with ours.there():
        ours.request("POST", "/v1/pools", {
            "name": "warm", "capacitySpec": {"bufferMin": 0, "bufferMax": 1, "poolMin": 0, "poolMax": 1000},
            "template": {"spec": {"containers": [{"image": ours.image, "resources": {"limits": {"cpu": "1", "memory": "256Mi"}}}]}}})
    times = {name: ([], []) for name in ("ours, cold", "ours, from a pool", "opensandbox-server")}
    bare, docker = [], []
    for number in range(count):
        for name, side, more in [("ours, cold", ours, {}), ("ours, from a pool", ours, {"extensions": {"poolRef": "warm"}}),
                                 ("opensandbox-server", theirs, {})]:
            with side.there():
                if side is ours:
                    eventually(lambda: ours.request("GET", "/v1/pools/warm")["status"]["available"] == 1, what="a full pool")
                begun = time.perf_counter()
                sandbox = side.create(**more)
                times[name][0].append(time.perf_counter() - begun)
                side.command(sandbox)
                times[name][1].append(time.perf_counter() - begun)
                side.request("DELETE", f"/v1/sandboxes/{sandbox}")
        bare.append(crun(theirs.folder, number))
        docker.append(timed(lambda: theirs.engine.run("run", "--detach", "--name", "bare", "base", "sleep", "600"))[0])
        theirs.engine.run("rm", "--force", "bare")
    for name, (created, commanded) in times.items():
        milliseconds(f"create, {name}", created)
        milliseconds("  until the first command's end", commanded)
    milliseconds("crun run of true", bare)
    milliseconds("docker run --detach", docker)
    with ours.there():
        ours.request("DELETE", "/v1/pools/warm")


def snapshots(ours, theirs, mebibytes, rounds=3):
    fill = f"dd if=/dev/urandom of=/big bs=1M count={mebibytes} status=none; sync"
    for side in (ours, theirs):
        with side.there():
            source = side.create()
            side.command(source, fill)
            taken, restored = [], []
            for _ in range(rounds):
                begun = time.perf_counter()
                snapshot = side.request("POST", f"/v1/sandboxes/{source}/snapshots", {})["id"]
                while (state := side.request("GET", f"/v1/snapshots/{snapshot}")["status"]["state"]) == "Creating":
                    time.sleep(0.005)
                if state != "Ready":
                    raise RuntimeError(f"{side.name}: the snapshot is {state}")
                taken.append(time.perf_counter() - begun)
                begun = time.perf_counter()
                again = side.create({"snapshotId": snapshot})
                side.command(again)
                restored.append(time.perf_counter() - begun)
                side.request("DELETE", f"/v1/sandboxes/{again}")
                side.request("DELETE", f"/v1/snapshots/{snapshot}")
            milliseconds(f"{side.name}: snapshot of {mebibytes} MiB", taken)
            milliseconds("  restore until the first command's end", restored)
            side.request("DELETE", f"/v1/sandboxes/{source}")
    engine = theirs.engine
    engine.run("run", "--detach", "--name", "filled", "base", "sleep", "600")
    engine.run("exec", "filled", "sh", "-c", fill, timeout=600)
    committed, run = [], []
    for number in range(rounds):
        committed.append(timed(lambda: engine.run("commit", "filled", f"taken:{number}", timeout=600))[0])
        run.append(timed(lambda: engine.run("run", "--detach", "--name", f"again-{number}", f"taken:{number}", "sleep", "600"))[0])
        engine.run("rm", "--force", f"again-{number}")
        engine.run("rmi", f"taken:{number}")
    engine.run("rm", "--force", "filled")
    milliseconds(f"docker commit of {mebibytes} MiB", committed)
    milliseconds("  docker run of it", run)


def memory(ours, theirs, counts):
    """Of everything that the machine runs, before and with the sandboxes: their processes, the server's and the engine's share."""
    for count in counts:
        found = {}
        for side in (ours, theirs):
            with side.there():
                before, free = proportional(everybody()), available()
                seconds, made = timed(lambda: side.create_many(count))
                for sandbox in made[:1] + made[-1:]:
                    side.command(sandbox)
                found[side] = proportional(everybody()) - before, free - available(), seconds
                side.delete_many(made)
        show(f"memory of a sandbox, of {count}: processes", *(f[0] * 1024 / count for f in found.values()), "KiB")
        show("  what the machine has less", *(f[1] * 1024 / count for f in found.values()), "KiB")
        show(f"  {count} creates, eight at once", *(f[2] for f in found.values()), "s")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("parts", nargs="*")
    options.add_argument("--count", type=int, default=100)
    options.add_argument("--rounds", type=int, default=30)
    options.add_argument("--sandboxes", default="100")
    options.add_argument("--mebibytes", type=int, default=1024)
    options.add_argument("--seconds", type=int, default=5)
    given = options.parse_args()
    parts = given.parts or ["requests", "create", "snapshot", "memory"]
    world = World()
    ours = theirs = None
    try:
        ours, theirs = Ours(world), Theirs()
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n{'':58} {'ours':>10} {'theirs':>10}")
        for side in (ours, theirs):
            with side.there():
                side.starts()
        starts(ours, theirs)
        if "requests" in parts:
            requests(ours, theirs, given.count, given.seconds)
        if "create" in parts:
            creates(ours, theirs, given.rounds)
        if "snapshot" in parts:
            snapshots(ours, theirs, given.mebibytes)
        if "memory" in parts:
            memory(ours, theirs, [int(count) for count in given.sandboxes.split(",")])
    finally:
        for side in (theirs, ours):
            if side is not None:
                side.close()
        world.close()


main()
