"""HTTP/1.1 through the gateway in header mode, through nginx and through haproxy: one nginx behind all of them.

    scripts/bench.sh http1

Each round loads every door in turn, and medians are printed: processor time a request (from /proc/PID/stat) changes less than
rates when other programs run. Connections are kept on both sides. Every proxy has a worker, or a thread, for each
processor. ROUNDS, SECONDS_EACH, CONNECTIONS and DOORS (a pattern)
change what is measured.
"""

import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from directory import Directory
from ingress_program import BINARY, INGRESS
from support.server import free_port
from support.waiting import eventually

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = os.environ.get("SECONDS_EACH", "2")
CONNECTIONS = os.environ.get("CONNECTIONS", "16")
DOORS = os.environ.get("DOORS", "")
WORKERS = len(os.sched_getaffinity(0))
TICKS = os.sysconf("SC_CLK_TCK")
ROUTE = "OpenSandbox-Ingress-To"
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
SIZES = {"1 KiB": ("/k", 1 << 10), "1 MiB": ("/m", 1 << 20)}


class Program:
    def __init__(self, port, *command, **options):
        self.port = port
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        self.route = None

    def pids(self):
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return [self.process.pid, *map(int, found.stdout.split())]

    def cpu(self):
        """Processor seconds of the program and its children so far."""
        fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids()]
        return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS

    def memory(self):
        """MiB that it alone has written."""
        texts = [pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids()]
        return sum(int(re.search(r"Private_Dirty: +(\d+)", text)[1]) for text in texts) / 1024

    def answers(self, path="/k"):
        assert self.process.poll() is None, "a program has ended"
        words = ["-H", f"{ROUTE}: {self.route}"] if self.route else []
        done = subprocess.run(["curl", "-sf", *words, f"http://127.0.0.1:{self.port}{path}"], capture_output=True)
        return done.returncode == 0

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)


def nginx(folder, port, servers):
    folder.mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(f"""
worker_processes {WORKERS}; daemon off; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on; keepalive_requests 1000000000;
{servers} }}
""")
    return Program(port, "nginx", "-p", str(folder), "-c", str(configuration), stderr=subprocess.DEVNULL)


def nginx_proxy(folder, behind):
    port = free_port()
    return nginx(folder, port, f"""
upstream behind {{ server 127.0.0.1:{behind}; keepalive 64; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port} backlog=4096;
  location / {{ proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";
                proxy_max_temp_file_size 0; }} }}""")


def haproxy(folder, behind):
    port = free_port()
    folder.mkdir()
    configuration = folder / "haproxy.cfg"
    configuration.write_text(f"""
global
  nbthread {WORKERS}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  server origin 127.0.0.1:{behind}
""")
    return Program(port, "haproxy", "-db", "-q", "-f", str(configuration))


class Gateway(Program):
    """`sallyport-ingress`; with `secure` the sandbox needs a credential, and the route is a signed one."""

    def __init__(self, folder, behind, secure):
        folder.mkdir()
        sandbox = "a1b2c3d4-5678-90ab-cdef-0123456789ab"
        self.directory = Directory(folder / "directory.sock", sandbox)
        entry = self.directory.snapshot["entries"][0]
        if secure:
            entry["credentialHash"] = list(os.urandom(32))
        keys, secret = folder / "keys", folder / "secret"
        for file, text in ((keys, "a=base64:" + "A" * 43 + "="), (secret, "s" * 43)):
            file.touch(mode=0o600)
            file.write_text(text)
        port = free_port()
        super().__init__(
            port, INGRESS, "--host", "127.0.0.1", "--port", str(port), "--mode", "header", "--log-level", "error",
            f"--directory=unix:{folder}/directory.sock", "--directory-secret-file", str(secret),
            "--secure-access-keys-file", str(keys), stdout=subprocess.DEVNULL)
        self.route = f"{sandbox}-{behind}"
        if secure:
            self.route = subprocess.run(
                [BINARY, "token", "mint", "--keys-file", str(keys), "--sandbox", sandbox, "--port", str(behind),
                 "--expires", str(int(time.time()) + 86400), "--epoch", entry["epoch"]],
                capture_output=True, text=True, check=True).stdout.strip()

    def close(self):
        super().close()
        self.directory.close()


def load(program, path):
    words = ["-H", f"{ROUTE}: {program.route}"] if program.route else []
    before = program.cpu()
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", *words, f"http://127.0.0.1:{program.port}{path}"],
        capture_output=True, text=True, timeout=120)
    spent = program.cpu() - before
    text = done.stdout
    assert "Non-2xx" not in text and "Socket errors" not in text, text + done.stderr
    count = int(re.search(r"(\d+) requests in", text)[1])

    def percentile(name):
        number, unit = re.search(rf" {name}%\s+([0-9.]+)(us|ms|s)", text).groups()
        return float(number) * UNITS[unit]

    return {"rate": float(re.search(r"Requests/sec: +([0-9.]+)", text)[1]), "p50": percentile(50),
            "p99": percentile(99), "cpu": spent / count * 1e6}


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-bench-"))
    files = folder / "files"
    files.mkdir()
    for path, size in SIZES.values():
        (files / path[1:]).write_bytes(b"k" * size)
    # Workers of nginx are nobody, where it is started by root.
    for each in (folder, files):
        each.chmod(0o755)
    behind = free_port()
    origin = nginx(folder / "origin", behind, f"server {{ listen 127.0.0.1:{behind} backlog=4096; root {files}; }}")
    programs = {"nginx": nginx_proxy(folder / "nginx", behind), "haproxy": haproxy(folder / "haproxy", behind),
                "gateway": Gateway(folder / "gateway", behind, secure=False),
                "gateway, signed": Gateway(folder / "signed", behind, secure=True)}
    programs = {name: program for name, program in programs.items() if re.search(DOORS, name) or program.close()}
    try:
        for name, program in programs.items():
            eventually(program.answers, within=30, what=name)
        found = {}
        for number in range(ROUNDS + 1):
            for size, (path, _) in SIZES.items():
                for name, program in programs.items():
                    result = load(program, path)
                    if number:  # the first round warms up
                        found.setdefault((size, name), []).append(result)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {ROUNDS} rounds of {SECONDS} s, "
              f"{CONNECTIONS} connections; ratios to nginx")
        print(f"{'':24}{'requests/s':>12}{'ratio':>7}{'µs CPU':>9}{'ratio':>7}{'p50 ms':>9}{'p99 ms':>9}{'MiB':>7}")
        for (size, name), results in found.items():
            middle = {key: statistics.median(each[key] for each in results) for key in results[0]}
            base = found.get((size, "nginx"))
            ratios = {key: f"{middle[key] / statistics.median(each[key] for each in base):.2f}" if base else "-"
                      for key in ("rate", "cpu")}
            print(f"{size + ', ' + name:24}{middle['rate']:12.0f}{ratios['rate']:>7}{middle['cpu']:9.1f}{ratios['cpu']:>7}"
                  f"{middle['p50']:9.2f}{middle['p99']:9.2f}{programs[name].memory():7.1f}")
    finally:
        for program in [*programs.values(), origin]:
            program.close()


if __name__ == "__main__":
    sys.exit(main())
