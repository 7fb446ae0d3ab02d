"""Sandboxes of the Docker runtime beside `docker run` of the same image in the same engine, in turn: what the server adds to the engine's
own time, with the machine's guard and with one beside each, and its memory. Beside the latter there is a second container in the network
of the first.

    scripts/bench.sh docker [count] [--sandboxes 0]

As root on a quiet machine, after `make build base-image`. `--sandboxes` so many are there at once for the server's memory.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).parents[2] / "Tests"
sys.path[:0] = [str(TESTS / "Docker"), str(TESTS / "Bypass")]

from inside import within  # noqa: E402
from plain_engine import BridgedEngine  # noqa: E402
from support.server import IMAGE, AllInOneServer, deny_but  # noqa: E402
from support.world import World, run  # noqa: E402


def milliseconds(name, times):
    times = sorted(times)
    print(f"{name:<58} p50 {statistics.median(times) * 1e3:8.1f} ms   p99 {times[len(times) * 99 // 100] * 1e3:8.1f} ms", flush=True)


def engines_own(engine, number):
    """Until `docker run` has started it, and until the first command in it has ended."""
    name = f"bare-{number}"
    begun = time.perf_counter()
    engine.run("run", "--detach", "--name", name, "--memory", "256m", "--cpus", "1", IMAGE, "sleep", "100000")
    started = time.perf_counter() - begun
    engine.run("exec", name, "true")
    ended = time.perf_counter() - begun
    engine.run("rm", "--force", name)
    return started, ended


def two_of_the_engines_own(engine, number):
    """A container, and one in its network, as a guard is."""
    names = [f"pair-{number}", f"pair-{number}-beside"]
    begun = time.perf_counter()
    engine.run("run", "--detach", "--name", names[0], "--memory", "256m", "--cpus", "1", IMAGE, "sleep", "100000")
    engine.run("run", "--detach", "--name", names[1], "--memory", "256m", "--network", f"container:{names[0]}", IMAGE, "sleep", "100000")
    started = time.perf_counter() - begun
    for name in reversed(names):
        engine.run("rm", "--force", name)
    return started


def servers(server, policy):
    begun = time.perf_counter()
    sandbox = server.create(network_policy=policy)
    started = time.perf_counter() - begun
    sandbox.commands.run("true")
    ended = time.perf_counter() - begun
    begun = time.perf_counter()
    assert server.api.delete(f"/v1/sandboxes/{sandbox.id}").status_code == 204
    deleted = time.perf_counter() - begun
    sandbox.close()
    return started, ended, deleted


def memory(server):
    """Proportional, of the server's processes: each has a session of its own."""
    parents = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    own = {server.process.pid}
    while more := {process for process, parent in parents.items() if parent in own} - own:
        own |= more
    total = 0
    for process in own:
        try:
            lines = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total / 1024


def measure(count, sandboxes):
    with tempfile.TemporaryDirectory(prefix="sallyport-bench-") as folder:
        world, engine, sides = None, None, {}
        try:
            world = World(far=True)
            engine = BridgedEngine(folder)
            beside = engine.prepare().options
            sides = {"machine's guard": AllInOneServer(world, tables=engine.tables), "guard beside": AllInOneServer(world, **beside)}
            for server in sides.values():
                server.start()
                servers(server, None)
            times = {}
            for number in range(count):
                for what, time_ in zip(("started", "first command ended"), engines_own(engine, number)):
                    times.setdefault(("docker run", what), []).append(time_)
                times.setdefault(("docker run, and another in its network", "started"), []).append(two_of_the_engines_own(engine, number))
                for name, server in sides.items():
                    for words, policy in (("without a policy", None), ("with one", deny_but("one.example"))):
                        for what, time_ in zip(("created", "first command ended", "deleted"), servers(server, policy)):
                            times.setdefault((f"{name}, {words}", what), []).append(time_)
            for (name, what), found in times.items():
                milliseconds(f"{name}: {what}", found)
            middle = {key: statistics.median(found) * 1e3 for key, found in times.items()}
            for name, peer in (("machine's guard", "docker run"), ("guard beside", "docker run, and another in its network")):
                added = middle[f"{name}, with one", "created"] - middle[peer, "started"]
                print(f"{name}: {added:+.0f} ms, {middle[f'{name}, with one', 'created'] / middle[peer, 'started']:.2f} of {peer}", flush=True)
            for name, server in sides.items():
                idle, made = memory(server), [server.create() for _ in range(sandboxes)]
                print(f"{name + ': server idle, and with ' + str(sandboxes) + ' sandboxes':<58} {idle:.1f} and {memory(server):.1f} MiB", flush=True)
                for sandbox in made:
                    server.api.delete(f"/v1/sandboxes/{sandbox.id}")
                    sandbox.close()
        finally:
            for server in sides.values():
                server.tear_down()
            if engine is not None:
                engine.close()
            if world is not None:
                world.close()


def main():
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("count", nargs="?", type=int, default=30)
    reader.add_argument("--sandboxes", type=int, default=0)
    asked = reader.parse_args()
    # A machine of its own: the engine has a bridge and a firewall.
    name = f"bench-{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        with within(name):
            measure(asked.count, asked.sandboxes)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)


if __name__ == "__main__":
    main()
