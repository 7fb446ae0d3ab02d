"""The soak of Tests/Gateway for longer: what each gateway uses, and how much was asked and disturbed, as it goes on.

    SALLYPORT_BINARY=.build/release/sallyport scripts/soak.sh [seconds]
"""

import sys
import time

from soak import CLIENTS, SANDBOXES, Soak
from support.server import BINARY, AllInOneServer
from support.world import World

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 600


def main():
    world = World()
    server = AllInOneServer(world, prefix=28)
    began = time.monotonic()

    def report(usage, count):
        columns = "  ".join(f"{mode} {fds} fds {used / 1e6:.1f} MB" for mode, (fds, used) in usage.items())
        print(f"{time.monotonic() - began:6.0f} s  {columns}  {count}", flush=True)

    try:
        server.start()
        soak = Soak(server, SECONDS)
        print(f"{BINARY}: {CLIENTS} clients, {SANDBOXES} sandboxes, {SECONDS} s", flush=True)
        try:
            report(soak.usage(), {})
            soak.run(every=min(30, SECONDS / 4), report=report)
            time.sleep(8)
            report(soak.usage(), {"every client gone": 8})
            print(f"{sum(soak.hosts.values())} sandboxes had {len(soak.hosts)} addresses")
            print(f"{len(soak.problems)} requests misrouted, unanswered or refused without reason: {soak.problems[:5]}")
            return bool(soak.problems)
        finally:
            soak.close()
    finally:
        try:
            server.tear_down()
        finally:
            world.close()


sys.exit(main())
