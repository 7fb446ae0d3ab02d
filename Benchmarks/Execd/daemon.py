"""One execd for a benchmark: the program of `make execd` unless EXECD names another."""

import json
import os
import pathlib
import resource
import socket
import subprocess
import time
import urllib.request

PROGRAM = os.environ.get("EXECD", ".build/release/execd")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def many_files():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Execd:
    def __init__(self, program=PROGRAM):
        self.port = free_port()
        self.process = subprocess.Popen([program, "--serve", "--port", str(self.port)], stdin=subprocess.DEVNULL,
                                        start_new_session=True, env={"PATH": os.environ["PATH"], "HOME": "/"})
        while True:
            try:
                self.call("GET", "/ping")
                return
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit("execd did not start") from None
                time.sleep(0.02)

    def call(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         data=json.dumps(body).encode() if body else None)
        return urllib.request.urlopen(request, timeout=30).read()

    def memory(self):
        """Private memory in bytes."""
        lines = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))

    def processor(self):
        """Seconds of processor time."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.kill()
        self.process.wait()
