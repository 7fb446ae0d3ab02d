"""How long a sidecar leaves its namespace open, how long till it guards, and how long till its API listens.

    make egress && python3 Benchmarks/Sidecar/start.py [program]

Each run begins a moment before nsenter is started. What the kernel does is heard from the kernel: a netlink socket in the
namespace is told of each transaction of nf_tables. Beside it, in turn: nsenter of `nft -f` with the rules that the sidecar
leaves but four that nft cannot state, and of `true`, which both take part in.
"""

import contextlib
import json
import os
import pathlib
import re
import selectors
import signal
import statistics
import subprocess
import sys
import time

from moments import NAMES, Moments, Namespace

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else str(REPOSITORY / ".build/release/sallyport-egress")
RUNS = int(os.environ.get("RUNS", "50"))
# Seconds: a start that takes this long has failed.
LIMIT = 10
ENVIRONMENT = {
    "PATH": os.environ["PATH"], "OPENSANDBOX_EGRESS_DNS_UPSTREAM": "192.0.2.53", "OPENSANDBOX_EGRESS_TOKEN": "token",
    "OPENSANDBOX_EGRESS_PRESETS_DIR": str(REPOSITORY / "policies"),
    "OPENSANDBOX_EGRESS_RULES": json.dumps({"egress": [{"action": "allow", "target": "pypi.org"}]}),
}


def spawn(namespace, *words, standard_error):
    """nsenter becomes the program: its process is the program's."""
    begun = time.monotonic_ns()
    process = os.posix_spawn(
        "/usr/bin/nsenter", ["nsenter", f"--net={namespace.path}", *words], ENVIRONMENT,
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                      (os.POSIX_SPAWN_DUP2, standard_error, 2)])
    return process, begun


def start(namespace):
    """Milliseconds from the start of one sidecar to each of `NAMES`, its private memory in KiB, and its rules."""
    ours, its = os.pipe()
    with Moments(namespace) as moments, selectors.DefaultSelector() as selector:
        selector.register(ours, selectors.EVENT_READ)
        for source in moments.sources:
            selector.register(source, selectors.EVENT_READ)
        process, begun = spawn(namespace, PROGRAM, standard_error=its)
        os.close(its)
        said = b""
        while not moments.are_complete:
            ready = selector.select(LIMIT)
            if not ready:
                raise SystemExit(f"no start in {LIMIT} s: {said.decode()} {moments.at}")
            for key, _ in ready:
                if key.fd != ours:
                    moments.hear(key.fileobj)
                    continue
                heard = os.read(ours, 4096)
                if not heard:
                    raise SystemExit(f"it has ended: {said.decode()}")
                said += heard
                if b" guarding" in said:
                    moments.note("API listening")
        memory = private_memory(process)
        rules = namespace.rules()
        os.kill(process, signal.SIGKILL)
        used = os.wait4(process, 0)[2]
        os.close(ours)
        taken = [(moments.at[name] - begun) / 1e6 for name in NAMES] + [processor_time(used)]
        return taken, memory, rules


def private_memory(process):
    """KiB that it alone has, whatever the page cache does: not backed by a file."""
    rollup = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:"))


def until_end(namespace, *words):
    process, begun = spawn(namespace, *words, standard_error=2)
    _, status, used = os.wait4(process, 0)
    assert status == 0, words
    return (time.monotonic_ns() - begun) / 1e6, processor_time(used)


def processor_time(used):
    """Milliseconds."""
    return (used.ru_utime + used.ru_stime) * 1000


def main():
    starts, memories, nft, nothing = [], [], [], []
    with contextlib.ExitStack() as stack:
        # Each start has a namespace without a past. They go when all is measured: the kernel takes its time for it.
        first, *others = [stack.enter_context(Namespace(number)) for number in range(RUNS + 1)]
        _, _, rules = start(first)
        ruleset = pathlib.Path(first.folder, "rules.nft")
        ruleset.write_text(re.sub(r".* vmap @profiles .*\n", "", rules))
        for namespace in others:
            moments, memory, _ = start(namespace)
            starts.append(moments)
            memories.append(memory)
            namespace.flush()
            nft.append(until_end(namespace, "nft", "-f", str(ruleset)))
            nothing.append(until_end(namespace, "true"))
    print(f"{RUNS} starts in turn, load {os.getloadavg()[0]:.1f}: medians and 90th percentiles in ms")
    for name, taken, peer in zip([*NAMES, "processor time"], zip(*starts), [0, 0, 0, 0, 1]):
        show("sidecar: " + name, taken, list(zip(*nft))[peer])
    for peer, runs in (("nsenter of nft -f with equal rules", nft), ("nsenter of true", nothing)):
        for name, taken in zip(["end", "processor time"], zip(*runs)):
            show(f"{peer}: {name}", taken)
    print(f"sidecar: private memory {statistics.median(memories) / 1024:.2f} MiB")


def show(name, taken, peer=None):
    median, most = statistics.median(taken), statistics.quantiles(taken, n=10)[-1]
    print(f"{name:52}{median:8.2f}{most:8.2f}"
          + (f"   {median / statistics.median(peer):.2f} of nft's" if peer else ""))


if __name__ == "__main__":
    main()
