"""Upload and download through execd beside nginx, and a command's output beside a raw pipe, in one run.

    python3 Benchmarks/Execd/files.py [EARLIER]

EARLIER is an older execd: it takes its turn in each round, and its processor time stands beside the new one's. Needs nginx and curl. Each figure of the other is taken in the same round as execd's; medians are printed. Files are in FOLDER
(/dev/shm), so that no disk is measured.
"""

import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from daemon import Execd, free_port

ROUNDS = int(os.environ.get("ROUNDS", "7"))
BYTES = int(os.environ.get("BYTES", str(1 << 30)))
OUTPUT = int(os.environ.get("OUTPUT", str(256 << 20)))
FOLDER = os.environ.get("FOLDER", "/dev/shm")

CONFIGURATION = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; sendfile on; tcp_nopush on; client_max_body_size 0; client_body_temp_path {folder}/body;
    client_body_buffer_size 1m; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; location / {{ root {folder}/www; dav_methods PUT; }} }}
}}
"""


class Nginx:
    def __init__(self, folder):
        self.port = free_port()
        os.makedirs(f"{folder}/www", exist_ok=True)
        pathlib.Path(f"{folder}/nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=self.port))
        # As whoever runs this: a user of its own could not write here.
        self.process = subprocess.Popen(["nginx", "-g", "user root;", "-c", f"{folder}/nginx.conf"], stdin=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert self.process.poll() is None, "nginx did not start"
                time.sleep(0.02)

    def close(self):
        self.process.terminate()
        self.process.wait()


def download(port, target):
    """Seconds until all has come to a client that throws it away."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        start = time.perf_counter()
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        buffer, total = bytearray(1 << 20), 0
        while count := client.recv_into(buffer):
            total += count
        assert total > BYTES, total
        return time.perf_counter() - start


def send(port, head, front, source, back):
    """Seconds until a body has been sent and answered."""
    with socket.create_connection(("127.0.0.1", port)) as client, open(source, "rb") as file:
        start = time.perf_counter()
        length = len(front) + BYTES + len(back)
        client.sendall(f"{head}\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n".encode() + front)
        client.sendfile(file)
        client.sendall(back)
        answer = client.recv(4096)
        assert b" 200 " in answer[:20] or b" 201 " in answer[:20] or b" 204 " in answer[:20], answer
        return time.perf_counter() - start


def upload(port, source, target):
    front = (b'--B\r\nContent-Disposition: form-data; name="metadata"; filename="m"\r\n\r\n'
             + json.dumps({"path": target}).encode() + b'\r\n--B\r\nContent-Disposition: form-data; name="file"; '
             b'filename="f"\r\n\r\n')
    head = "POST /files/upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=B"
    return send(port, head, front, source, b"\r\n--B--\r\n")


def pipe(source):
    """Seconds for `cat` through a pipe into a reader."""
    start = time.perf_counter()
    with subprocess.Popen(["cat", source], stdout=subprocess.PIPE, bufsize=0) as process:
        buffer, total = bytearray(1 << 20), 0
        while count := process.stdout.readinto(buffer):
            total += count
    assert total == OUTPUT, total
    return time.perf_counter() - start


def command(port, source):
    """Seconds for the same as a command's events."""
    body = json.dumps({"argv": ["cat", source]})
    with socket.create_connection(("127.0.0.1", port)) as client:
        start = time.perf_counter()
        client.sendall(f"POST /command HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        buffer, total, last = bytearray(1 << 20), 0, b""
        while count := client.recv_into(buffer):
            total += count
            # The end may come in several parts.
            last = (last + bytes(buffer[max(0, count - 400):count]))[-400:]
        assert total > OUTPUT and b"execution_complete" in last, (total, last)
        return time.perf_counter() - start


def compare(name, size, sides):
    """Sides are callables by their names, and where they are execd, the daemon whose processor time they use."""
    times, busy = {side: [] for side in sides}, {}
    for _ in range(ROUNDS):
        for side, (run, daemon) in sides.items():
            before = daemon.processor() if daemon else 0
            times[side].append(run())
            if daemon:
                busy[side] = busy.get(side, 0) + daemon.processor() - before
    medians = {side: statistics.median(values) for side, values in times.items()}
    own = times["execd"]
    texts = []
    for side, median in medians.items():
        text = f"{side} {size / median / 1e6:.0f} MB/s"
        if side in busy:
            text += f" ({busy[side] / ROUNDS / size * 1e12:.0f} us of processor for 1 MB)"
        if side != "execd":
            text += f", execd {statistics.median(b / a for a, b in zip(own, times[side], strict=True)):.2f} of it"
        texts.append(text)
    print(f"{name}: " + "; ".join(texts))


def main():
    folder = tempfile.mkdtemp(dir=FOLDER)
    daemons = {"execd": Execd()} | {"earlier": Execd(program) for program in sys.argv[1:2]}
    execd, nginx = daemons["execd"], Nginx(folder)

    def sides(ours, other, theirs):
        return {name: (lambda port=daemon.port: ours(port), daemon) for name, daemon in daemons.items()} | {
            other: (theirs, None)}

    try:
        large, text = f"{folder}/www/large", f"{folder}/text"
        with open(large, "wb") as file:
            for _ in range(BYTES >> 20):
                file.write(os.urandom(1 << 20))
        line = bytes(range(32, 127)).replace(b'"', b"'").replace(b"\\", b"/")[:79] + b"\n"
        with open(text, "wb") as file:
            file.write((line * (OUTPUT // 80 + 1))[:OUTPUT])
        idle = execd.memory()
        compare("download", BYTES, sides(lambda port: download(port, f"/files/download?path={large}"), "nginx",
                                         lambda: download(nginx.port, "/large")))
        compare("upload", BYTES, sides(lambda port: upload(port, large, f"{folder}/up"), "nginx",
                                       lambda: send(nginx.port, "PUT /put HTTP/1.1", b"", large, b"")))
        print(f"private memory: {idle / 2**20:.1f} MiB before, {execd.memory() / 2**20:.1f} MiB after")
        compare("output of lines", OUTPUT, sides(lambda port: command(port, text), "a pipe", lambda: pipe(text)))
    finally:
        for daemon in daemons.values():
            daemon.close()
        nginx.close()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
