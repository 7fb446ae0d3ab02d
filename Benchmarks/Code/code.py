"""How long `1+1` takes in a warm context: through execd, beside jupyter_client's own word with the same kind of kernel.

    .build-conformance/jupyter/bin/python Benchmarks/Code/code.py [count]      after `make execd` and scripts/conformance.sh
"""

import contextlib
import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from jupyter_client.manager import start_new_kernel

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXECD = ROOT / ".build/release/execd"
JUPYTER = ROOT / ".build-conformance/jupyter/bin/jupyter-server"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def up(port):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def median(run, count):
    for _ in range(20):
        run()
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def through_execd(environment, count):
    port = free_port()
    execd = subprocess.Popen([EXECD, "--port", str(port)], env=environment, **QUIET)
    try:
        up(port)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

        def ask(path, body):
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            return connection.getresponse().read()

        context = json.loads(ask("/code/context", {"language": "python"}))

        def run():
            answer = ask("/code", {"code": "1+1", "context": context})
            assert b'"text/plain":"2"' in answer and b"execution_complete" in answer, answer

        return median(run, count)
    finally:
        execd.kill()
        execd.wait()


def directly(count):
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        return median(lambda: client.execute_interactive("1+1", output_hook=lambda message: None), count)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PATH": os.environ["PATH"], "HOME": folder}
        own = through_execd(environment, count)
        port = free_port()
        server = subprocess.Popen(
            [JUPYTER, "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=t",
             f"--ServerApp.root_dir={folder}"], env=environment, **QUIET)
        try:
            up(port)
            host = {"JUPYTER_HOST": f"http://127.0.0.1:{port}", "JUPYTER_TOKEN": "t"}
            jupyter = through_execd({**environment, **host}, count)
        finally:
            server.terminate()
            server.wait()
        direct = directly(count)
    print(f"jupyter_client {direct:.2f} ms")
    print(f"execd, Jupyter {jupyter:.2f} ms, {jupyter / direct:.2f} times")
    print(f"execd, own kernel {own:.2f} ms, {own / direct:.2f} times")


if __name__ == "__main__":
    main()
