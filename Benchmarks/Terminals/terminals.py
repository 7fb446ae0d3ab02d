"""Terminals of execd beside a raw pseudo terminal: output per second, the time of a keystroke, memory of idle ones.

    python3 Benchmarks/Terminals/terminals.py [EXECD]

EXECD is the program; the static one of `make execd` unless told. Needs neither a sandbox nor packages. Each figure of a raw
terminal is taken in the same round as execd's, and medians are printed.
"""

import base64
import json
import os
import pty
import signal
import socket
import statistics
import sys
import time
import tty

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../Execd"))

from daemon import Execd  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "5"))
BYTES = int(os.environ.get("BYTES", str(256 << 20)))
IDLE = int(os.environ.get("IDLE", "200"))
KEYS = int(os.environ.get("KEYS", "500"))
FLOOD = f"stty -opost; exec dd if=/dev/zero bs=64k count={BYTES >> 16} 2>/dev/null"


class TerminalServer(Execd):
    def create(self, **body):
        return json.loads(self.call("POST", "/pty", body))["session_id"]

    def connect(self, name):
        """A socket behind the handshake, and what came with it."""
        client = socket.create_connection(("127.0.0.1", self.port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        client.sendall((f"GET /pty/{name}/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            part = client.recv(65536)
            assert part, head
            head += part
        assert head.startswith(b"HTTP/1.1 101"), head
        return client, head.split(b"\r\n\r\n", 1)[1]


def frame(payload):
    """A masked binary message of less than 126 bytes; the mask is zero."""
    return bytes([0x82, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def raw_flood():
    child, master = pty.fork()
    if child == 0:
        os.execvp("sh", ["sh", "-c", FLOOD])
    total, start = 0, time.perf_counter()
    try:
        while total < BYTES:
            total += len(os.read(master, 65536))
    except OSError:
        pass
    taken = time.perf_counter() - start
    os.close(master)
    os.waitpid(child, 0)
    assert total == BYTES, total
    return total / taken


def execd_flood(execd):
    name = execd.create(command=FLOOD)
    client, rest = execd.connect(name)
    buffer, total, start = bytearray(1 << 20), len(rest), time.perf_counter()
    while total < BYTES:
        count = client.recv_into(buffer)
        if not count:
            break
        total += count
    taken = time.perf_counter() - start
    client.close()
    status = json.loads(execd.call("GET", f"/pty/{name}"))
    execd.call("DELETE", f"/pty/{name}")
    # Headers of frames count little; a gap would count much.
    assert total >= BYTES, (total, status)
    return BYTES / taken


def raw_keys():
    child, master = pty.fork()
    if child == 0:
        os.execvp("cat", ["cat"])
    tty.setraw(master)
    times = []
    for _ in range(KEYS):
        start = time.perf_counter()
        os.write(master, b"k")
        while b"k" not in os.read(master, 100):
            pass
        times.append(time.perf_counter() - start)
    os.kill(child, signal.SIGKILL)
    os.close(master)
    os.waitpid(child, 0)
    return statistics.median(times)


def execd_keys(execd):
    name = execd.create(command="stty raw -echo; echo ready; exec cat")
    client, rest = execd.connect(name)
    while b"ready" not in rest:
        rest = rest[-100:] + client.recv(65536)
    times = []
    for _ in range(KEYS):
        start = time.perf_counter()
        client.sendall(frame(b"\0k"))
        while b"k" not in client.recv(65536):
            pass
        times.append(time.perf_counter() - start)
    client.close()
    execd.call("DELETE", f"/pty/{name}")
    return statistics.median(times)


def idle(execd):
    """Private memory of a terminal with a shell and a connected client."""
    before = execd.memory()
    held = []
    for _ in range(IDLE):
        name = execd.create(command="echo up; exec sleep 1000")
        client, rest = execd.connect(name)
        while b"up" not in rest:
            rest += client.recv(65536)
        held.append((name, client))
    after = execd.memory()
    for name, client in held:
        client.close()
        execd.call("DELETE", f"/pty/{name}")
    return before, after


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else ".build/release/execd"
    execd = TerminalServer(program)
    try:
        before, after = idle(execd)
        print(f"memory: {before / (1 << 20):.1f} MiB before, {after / (1 << 20):.1f} MiB with {IDLE} idle terminals, "
              f"{(after - before) / IDLE / 1024:.1f} KiB each")
        floods = [(raw_flood(), execd_flood(execd)) for _ in range(ROUNDS)]
        raw, ours = (statistics.median(column) / 1e6 for column in zip(*floods))
        print(f"output: {ours:.0f} MB/s by execd, {raw:.0f} MB/s of a raw terminal ({ours / raw:.2f})")
        keys = [(raw_keys(), execd_keys(execd)) for _ in range(ROUNDS)]
        raw, ours = (statistics.median(column) * 1e6 for column in zip(*keys))
        print(f"a key and its echo: {ours:.0f} µs by execd, {raw:.0f} µs of a raw terminal")
        print(f"memory afterwards: {execd.memory() / (1 << 20):.1f} MiB")
    finally:
        execd.close()


if __name__ == "__main__":
    main()
