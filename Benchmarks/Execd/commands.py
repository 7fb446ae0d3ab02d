"""`POST /command` of true by a kept-alive connection beside posix_spawn and wait, in turn.

    python3 Benchmarks/Execd/commands.py [EARLIER]

EARLIER is an older execd, which takes its turn in each round. Medians of the time, and execd's own processor time: on a busy machine the
second says more. `GET /ping` by the same connection is what any request takes, this client's part included.
"""

import http.client
import json
import os
import statistics
import sys
import time

from daemon import Execd

ROUNDS = int(os.environ.get("ROUNDS", "60"))
COMMANDS = int(os.environ.get("COMMANDS", "50"))
BODY = json.dumps({"argv": ["/bin/true"]})


def spawn():
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main():
    daemons = {"execd": Execd()} | {"earlier": Execd(program) for program in sys.argv[1:2]}
    times = {"posix_spawn": [], "ping": []} | {name: [] for name in daemons}
    busy = dict.fromkeys(daemons, 0.0)
    try:
        connections, pings = {}, {}
        for name, daemon in daemons.items():
            connection = connections[name] = http.client.HTTPConnection("127.0.0.1", daemon.port)

            def run(connection=connection):
                connection.request("POST", "/command", BODY, {"Content-Type": "application/json"})
                answer = connection.getresponse().read()
                assert b"execution_complete" in answer, answer

            def ping(connection=connection):
                connection.request("GET", "/ping")
                connection.getresponse().read()

            connections[name] = run
            pings.setdefault("ping", ping)
            for _ in range(20):
                run()
        for _ in range(ROUNDS):
            times["posix_spawn"] += [timed(spawn) for _ in range(COMMANDS)]
            times["ping"] += [timed(pings["ping"]) for _ in range(COMMANDS)]
            for name, daemon in daemons.items():
                before = daemon.processor()
                times[name] += [timed(connections[name]) for _ in range(COMMANDS)]
                busy[name] += daemon.processor() - before
        for name, values in times.items():
            text = f"{name}: {statistics.median(values) * 1e6:.0f} us"
            if name in busy:
                ratio = statistics.median(values) / statistics.median(times["posix_spawn"])
                text += f", {ratio:.2f} of posix_spawn and wait; {busy[name] / len(values) * 1e6:.0f} us of processor"
            print(text)
    finally:
        for daemon in daemons.values():
            daemon.close()


if __name__ == "__main__":
    main()
