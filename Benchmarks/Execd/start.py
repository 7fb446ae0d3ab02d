"""From exec to where execd accepts connections, the private memory of its two processes, and the size of the program.

    python3 Benchmarks/Execd/start.py [PROGRAM...]

Programs are started in turn, as a sandbox does: execd as init, its API, and an entrypoint that sleeps.
"""

import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

from daemon import PROGRAM, free_port

ROUNDS = int(os.environ.get("ROUNDS", "40"))


def private(process):
    lines = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def dirty(process):
    lines = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def start(program, rests=0.0):
    """Milliseconds until it listens, and after a while without requests the KiB of init and of the API: private, and written."""
    port = free_port()
    begun = time.perf_counter()
    process = subprocess.Popen([program, "--port", str(port), "--", "sleep", "60"], stdin=subprocess.DEVNULL,
                               env={"PATH": os.environ["PATH"], "HOME": "/"}, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert time.perf_counter() - begun < 10, "execd did not start"
        taken = (time.perf_counter() - begun) * 1000
        time.sleep(rests)
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        api = next(child for child in children if b"sleep" not in pathlib.Path(f"/proc/{child}/cmdline").read_bytes())
        return taken, [(private(one), dirty(one)) for one in (process.pid, api)]
    finally:
        process.terminate()
        process.wait()


def main():
    programs = sys.argv[1:] or [PROGRAM]
    times = {program: [] for program in programs}
    for _ in range(ROUNDS):
        for program in programs:
            times[program].append(start(program)[0])
    for program in programs:
        (init, init_written), (api, api_written) = start(program, rests=1.0)[1]
        size = os.path.getsize(program)
        print(f"{program}: listens after {min(times[program]):.1f} ms at best, {statistics.median(times[program]):.1f} at "
              f"the median; idle private memory {init} + {api} KiB ({init_written} + {api_written} written); "
              f"{size / 1e6:.1f} MB, {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
