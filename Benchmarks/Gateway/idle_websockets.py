"""Many WebSockets that say nothing, through the gateway and through nginx: memory, descriptors and processor time of each, and
what others notice.

    scripts/bench.sh idle-websockets [connections]      as root
"""

import asyncio
import json
import multiprocessing
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

import httpx
from doors import listen_inside, network_of
from peers import Peer
from recorder import Recorder
from soak import descriptors, memory
from support.server import BINARY, AllInOneServer
from support.world import World
from websocket_cases import TEXT, frame
from websocket_echo import EchoServer

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
IDLE_SECONDS = 15
HANDSHAKE = (b"GET %s HTTP/1.1\r\nHost: h\r\n%sUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")

# `behind` is a server on loopback that is not used: both lead to the sandbox.
NGINX = """
daemon off;
worker_processes WORKERS;
worker_rlimit_nofile 65536;
error_log {folder}/nginx.error;
pid {folder}/nginx.pid;
events {{ worker_connections 32768; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    proxy_http_version 1.1; proxy_read_timeout 1h; proxy_send_timeout 1h;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location /plain {{ proxy_pass http://PLAIN; }}
        location / {{
            proxy_pass http://ECHO;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
        }}
    }}
}}
"""


def children(pid):
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] or [pid]


def seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def latencies(url, headers, count=200):
    """Milliseconds of one request after another, on a connection that is kept."""
    took = []
    with httpx.Client() as client:
        for _ in range(count):
            began = time.perf_counter()
            assert client.get(url, headers=headers).status_code == 200
            took.append((time.perf_counter() - began) * 1000)
    return f"p50 {statistics.median(took):.2f} ms, p99 {statistics.quantiles(took, n=100)[98]:.2f} ms"


class Crowd:
    def __init__(self, address, handshake):
        self.address, self.handshake = address, handshake
        self.streams = []

    async def open(self, count):
        gate = asyncio.Semaphore(100)

        async def one():
            async with gate:
                reader, writer = await asyncio.open_connection(*self.address, limit=1024)
                writer.write(self.handshake)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
                assert head.startswith(b"HTTP/1.1 101 "), head
                self.streams.append((reader, writer))

        await asyncio.gather(*(one() for _ in range(count)))

    async def speak(self, step):
        """Every so manieth says something and hears it again."""
        for reader, writer in self.streams[::step]:
            writer.write(frame(TEXT, b"still there"))
            assert await asyncio.wait_for(reader.readexactly(13), 30) == b"\x81\x0bstill there"

    async def close(self):
        for _, writer in self.streams:
            writer.transport.abort()
        await asyncio.sleep(1)


async def measure(name, processes, crowd, probe):
    def total(of):
        return sum(of(pid) for pid in processes)

    print(f"{name}")
    print(f"  others, before           {await asyncio.to_thread(latencies, *probe)}")
    fds, used = total(descriptors), total(memory)
    began = time.perf_counter(), total(seconds)
    await crowd.open(COUNT)
    print(f"  opening {len(crowd.streams)}             {time.perf_counter() - began[0]:.1f} s, {total(seconds) - began[1]:.2f} s of processor time")
    each = (total(memory) - used) / COUNT
    print(f"  each                     {each / 1024:.2f} KiB of its own memory, {(total(descriptors) - fds) / COUNT:.3f} descriptors")
    cpu = total(seconds)
    await asyncio.sleep(IDLE_SECONDS)
    print(f"  all, idle for {IDLE_SECONDS} s       {(total(seconds) - cpu) / IDLE_SECONDS * 100:.2f} % of a core")
    print(f"  others, meanwhile        {await asyncio.to_thread(latencies, *probe)}")
    await crowd.speak(100)
    await crowd.close()
    began = time.monotonic()
    while total(descriptors) > fds + COUNT / 100 and time.monotonic() < began + 60:
        await asyncio.sleep(0.2)
    print(f"  when all have gone       {time.monotonic() - began:.1f} s, {total(descriptors) - fds:+d} descriptors, {(total(memory) - used) / 1e6:+.1f} MB")
    return each


def inner_address(server, sandbox):
    name = pathlib.Path(network_of(server, sandbox.id)).name
    links = json.loads(subprocess.run(["ip", "-n", name, "-j", "-4", "address"], capture_output=True, check=True).stdout)
    return next(info["local"] for link in links if link["ifname"] != "lo" for info in link["addr_info"])


def raise_limit():
    """As many descriptors as this machine grants; root may ask for more than it was given, if it may do all that root may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for most in (max(65536, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            return most
        except ValueError:
            continue


def serve(listener):
    EchoServer(listener)
    while True:
        time.sleep(1)


def main():
    most = raise_limit()
    if most < 2 * COUNT + 500:
        sys.exit(f"{COUNT} tunnels need {2 * COUNT} descriptors of one process, and this machine grants {most}")
    world = World()
    server = AllInOneServer(world)
    closing = []
    try:
        server.start()
        sandbox = server.create()
        listener = listen_inside(server, sandbox.id, backlog=4096)
        echo_port = listener.getsockname()[1]
        # Of its own: one process has not descriptors enough for both ends.
        echo = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
        echo.start()
        # Kept here, it would keep the sandbox's namespace.
        listener.close()
        closing += [echo.kill, echo.join]
        plain = Recorder(listen_inside(server, sandbox.id))
        address = inner_address(server, sandbox)
        words = NGINX.replace("WORKERS", str(os.cpu_count())).replace("PLAIN", f"{address}:{plain.port}").replace("ECHO", f"{address}:{echo_port}")
        nginx = Peer("nginx", words, ["nginx", "-p", "/", "-c"])
        closing += [plain.close, nginx.close]
        to = f"{sandbox.id}-{echo_port}"
        print(f"{COUNT} WebSockets, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {BINARY}")
        ours = asyncio.run(measure(
            "gateway", [server.process.pid],
            Crowd(("127.0.0.1", server.gateway_port), HANDSHAKE % (b"/", b"OpenSandbox-Ingress-To: " + to.encode() + b"\r\n")),
            (f"{server.gateway}/plain", {"OpenSandbox-Ingress-To": f"{sandbox.id}-{plain.port}"})))
        peers = asyncio.run(measure(
            "nginx", children(nginx.process.pid), Crowd(nginx.address, HANDSHAKE % (b"/", b"")),
            (f"http://127.0.0.1:{nginx.address[1]}/plain", {})))
        print(f"memory of each, gateway / nginx: {ours / peers:.2f}")
    finally:
        for close in closing:
            close()
        try:
            server.tear_down()
        finally:
            world.close()


main()
