"""HTTP/2 and HTTP/1.1 through the gateway, and through nginx with HTTP/2 in front and proxy_pass behind.

    scripts/bench.sh http2

Bodies are 1 KiB, from one nginx behind both. Each round loads every door in turn; medians are printed with processor time
a request, which other programs on the machine change less than they change the rate. Every proxy
has a worker, or a thread, for each processor.
"""

import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile

from support.server import free_port
from support.waiting import answers, eventually
from support_h2 import ROUTE, Gateway

ROUNDS = int(os.environ.get("ROUNDS", "5"))
REQUESTS = int(os.environ.get("REQUESTS", "20000"))
CONNECTIONS = 16
TICKS = os.sysconf("SC_CLK_TCK")


class Nginx:
    """One of the benchmark's own, with a worker for each processor."""

    def __init__(self, servers, extra=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-bench-"))
        configuration = self.folder / "nginx.conf"
        configuration.write_text(f"""
worker_processes {len(os.sched_getaffinity(0))}; daemon off; pid {self.folder}/pid; error_log {self.folder}/log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; {extra}
{servers} }}
""")
        self.process = subprocess.Popen(["nginx", "-p", str(self.folder), "-c", str(configuration)],
                                        stdin=subprocess.DEVNULL, start_new_session=True)

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)


def children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid] + [int(each) for each in found]


def cpu(pid):
    """Processor seconds of a process and its children so far."""
    total = 0
    for each in children(pid):
        fields = pathlib.Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def load(url, route, *words):
    done = subprocess.run(["h2load", "-n", str(REQUESTS), "-c", str(CONNECTIONS), "-t", "1", *words,
                           *(["-H", f"{ROUTE}: {route}"] if route else []), url],
                          capture_output=True, text=True, timeout=600)
    assert f"{REQUESTS} succeeded, 0 failed" in done.stdout, done.stdout + done.stderr
    return float(re.search(r", ([0-9.]+) req/s", done.stdout)[1])


def main():
    behind, front1, front2, front3 = (free_port() for _ in range(4))
    body = "k" * 1024
    origin = Nginx(f"server {{ listen 127.0.0.1:{behind} backlog=4096; location / {{ return 200 {body}; }} "
                   f"location /echo {{ return 200 ok; }} }}")
    gateway = Gateway(("bench", "bench.example"), backend_port=behind)
    certificate, key = gateway.certificates[0]
    through = f"""location / {{ proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; }}"""
    peer = Nginx(
        f"upstream behind {{ server 127.0.0.1:{behind}; keepalive 64; keepalive_requests 1000000000; }}"
        f"server {{ listen 127.0.0.1:{front1} backlog=4096; {through} }}"
        f"server {{ listen 127.0.0.1:{front2} http2 backlog=4096; {through} }}"
        f"server {{ listen 127.0.0.1:{front3} ssl http2 backlog=4096; ssl_certificate {certificate}; "
        f"ssl_certificate_key {key}; {through} }}")
    try:
        gateway.start()
        eventually(lambda: answers(lambda: load_once(f"http://127.0.0.1:{front1}/")), what="nginx")
        doors = {}
        for name, pid, route, plain, prior, secure in [
                ("sallyport", gateway.process.pid, gateway.route, gateway.plain, gateway.plain, gateway.secure),
                ("nginx", peer.process.pid, None, *(f"{scheme}://127.0.0.1:{port}" for scheme, port in
                                                    (("http", front1), ("http", front2), ("https", front3))))]:
            doors[name, "HTTP/1.1"] = (pid, route, plain + "/", "--h1")
            doors[name, "h2c, 1 stream"] = (pid, route, prior + "/", "-m1")
            doors[name, "h2c, 32 streams"] = (pid, route, prior + "/", "-m32")
            doors[name, "h2 with TLS, 32 streams"] = (pid, route, secure + "/", "-m32")
        rates, costs = {}, {}
        for number in range(ROUNDS + 1):
            for door, (pid, route, url, *words) in doors.items():
                before = cpu(pid)
                rate = load(url, route, *words)
                if number:  # the first round warms up
                    rates.setdefault(door, []).append(rate)
                    costs.setdefault(door, []).append((cpu(pid) - before) / REQUESTS * 1e6)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {ROUNDS} rounds of {REQUESTS} requests, "
              f"{CONNECTIONS} connections, 1 KiB")
        print(f"{'':26}{'requests/s':>12}{'µs CPU':>9}{'nginx: /s':>12}{'µs CPU':>9}{'rate':>7}{'CPU':>7}")
        for _, what in [door for door in doors if door[0] == "sallyport"]:
            ours, theirs = (statistics.median(rates[name, what]) for name in ("sallyport", "nginx"))
            mine, other = (statistics.median(costs[name, what]) for name in ("sallyport", "nginx"))
            print(f"{what:26}{ours:12.0f}{mine:9.1f}{theirs:12.0f}{other:9.1f}{ours / theirs:7.2f}{mine / other:7.2f}")
    finally:
        gateway.close()
        peer.close()
        origin.close()


def load_once(url):
    return subprocess.run(["curl", "-sf", url], capture_output=True, timeout=5).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
