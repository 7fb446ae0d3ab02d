"""What refused packets cost the guard, while a sandbox sends nothing, and while it sends as many as it can.

    scripts/bench.sh refusals [seconds]      as root, after `make build base-image`

The flood comes from the sandbox's own network namespace: datagrams to raw addresses, each to another address and port, then
connections. Beside the cost it prints how many of them were counted, which should be all.
"""

import os
import pathlib
import subprocess
import sys
import time

from support.parts import part
from support.server import AllInOneServer, deny_but
from support.world import World

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 10
# The guard looks at its counters once a second.
LOOK = 2.5
TICKS = os.sysconf("SC_CLK_TCK")
DATAGRAMS = """
import socket, sys, time
one, sent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for _ in range(100):
        try:
            one.sendto(b"x", (f"203.0.113.{sent % 250}", 1 + sent % 60000))
        except OSError:
            pass  # The refusal.
        sent += 1
print(sent)
"""
CONNECTIONS = """
import socket, sys, time
sent = 0
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    with socket.socket() as one:
        one.settimeout(0.5)
        one.connect_ex((f"203.0.113.{sent % 250}", 1 + sent % 60000))
    sent += 1
print(sent)
"""


def used(pid):
    """Seconds of processor time."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def share(server, work):
    """Of a core, that the guard takes meanwhile; and what `work` returns."""
    guard = part(server, "guard")
    before, begun = used(guard), time.monotonic()
    result = work()
    return (used(guard) - before) / (time.monotonic() - begun), result


def flood(server, script):
    namespace, = (server.folder / "run/netns").glob("*")
    done = subprocess.run(
        ["nsenter", f"--net={namespace}", sys.executable, "-c", script, str(SECONDS)],
        capture_output=True, text=True, timeout=SECONDS + 30, check=True)
    return int(done.stdout)


def refused(server):
    time.sleep(LOOK)
    lines = server.api.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("sallyport_egress_packets_refused_total"))


def main():
    world = World()
    server = AllInOneServer(world)
    try:
        server.start()
        sandbox = server.create(network_policy=deny_but("one.example"))
        print(f"{os.cpu_count()} cores; the guard's share of one, over {SECONDS:g} s")
        idle, _ = share(server, lambda: time.sleep(SECONDS))
        print(f"nothing is sent            {idle:7.2%}")
        for name, script in ("datagrams", DATAGRAMS), ("connections", CONNECTIONS):
            before = refused(server)
            cost, sent = share(server, lambda: flood(server, script))
            print(f"{name:<12} {sent / SECONDS:9.0f}/s {cost:9.2%}   refused, as counted: {refused(server) - before:.0f} of {sent}")
        sandbox.close()
    finally:
        server.tear_down()
        world.close()


main()
