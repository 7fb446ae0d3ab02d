"""What one DNS query costs the guard, beside dnsdist and unbound, in one run.

    python3 Benchmarks/DNS/dns.py [seconds] [rules...]      as root, after `swift build -c release`

Processor time is that of the server's threads alone, from /proc; the load (dnsperf) and the upstream are other processes.
It holds on a busy machine, where queries a second do not.
"""

import os
import shutil
import statistics
import sys

from servers import Guard, counting_library, dnsdist, instant_upstream, unbound

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 2
RULES = [int(word) for word in sys.argv[2:]] or [10, 4096, 100_000]
ROUNDS = int(os.environ.get("ROUNDS", "3"))
INFLIGHT = 100
FOLDER = f"/tmp/sallyport-benchmark-dns-{os.getpid()}"


def write_names(name, texts):
    path = f"{FOLDER}/{name}"
    with open(path, "w") as file:
        file.writelines(f"{text} A\n" for text in texts)
    return path


def measure(servers, names, code, sockets):
    """By server: queries a second, and microseconds of its processor a query: medians of rounds in which each has its turn."""
    rates, costs = [{label: [] for label in servers} for _ in range(2)]
    for server in servers.values():
        server.warm_up(names, INFLIGHT)
    for _ in range(ROUNDS):
        for label, server in servers.items():
            before = server.cpu_seconds()
            answered = server.ask(names, SECONDS, INFLIGHT, code, sockets)
            rates[label].append(answered / SECONDS)
            costs[label].append((server.cpu_seconds() - before) / answered * 1e6)
    return {label: (statistics.median(rates[label]), statistics.median(costs[label])) for label in servers}


def allocations(rules, cache, names, code):
    server = Guard(FOLDER, rules, cache, counting=True)
    try:
        # Until every name was forwarded, told from the cache, and cleared.
        server.ask(names, 3, INFLIGHT, code)
        before = server.allocations()
        answered = server.ask(names, 1, INFLIGHT, code)
        return (server.allocations() - before) / answered
    finally:
        server.stop()


def row(label, rate, cost, *more):
    print(f"    {label:<34} {rate:9.0f} queries/s {cost:7.2f} µs of processor a query" + "".join(more), flush=True)


def compare(title, rules, names, cache, suffixes, code="NOERROR", sockets=4):
    print(f"  {title}", flush=True)
    servers = {}
    try:
        servers["Sallyport"] = Guard(FOLDER, rules, cache)
        servers["dnsdist"] = dnsdist(FOLDER, suffixes, cache)
        if not suffixes:
            servers["unbound"] = unbound(FOLDER, cache)
        results = measure(servers, names, code, sockets)
    finally:
        for server in servers.values():
            server.stop()
    ours = results.pop("Sallyport")
    row("Sallyport", *ours, f"   {allocations(rules, cache, names, code):.2f} allocations")
    for label, result in results.items():
        row(label + (f", {suffixes} suffixes" if suffixes else ", passes on"), *result, f"   ratio {ours[1] / result[1]:.2f}")


def main():
    os.makedirs(FOLDER)
    counting_library(FOLDER)
    upstream = instant_upstream(FOLDER)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, {ROUNDS} runs of {SECONDS} s each, {INFLIGHT} in flight")
    try:
        for rules in RULES:
            known = write_names("known", [f"www.zone-{i % rules}.example" for i in range(1000)])
            # A thousandth of them comes again in a run, so that nothing of it is remembered.
            unknown = write_names("unknown", [f"host-{i * 7919 % 100_000}.elsewhere.example" for i in range(100_000)])
            print(f"{rules} rules", flush=True)
            compare("allowed, from the cache", rules, known, True, rules)
            compare("denied", rules, unknown, True, rules, "NXDOMAIN")
            compare("denied, each in flight from a socket of its own", rules, unknown, True, rules, "NXDOMAIN", INFLIGHT)
            compare("allowed, forwarded", rules, known, False, rules)
        print("without rules at the peers", flush=True)
        compare("allowed, from the cache", RULES[-1], known, True, 0)
        compare("allowed, forwarded", RULES[-1], known, False, 0)
    finally:
        upstream.kill()
        upstream.wait()
        shutil.rmtree(FOLDER, ignore_errors=True)


main()
