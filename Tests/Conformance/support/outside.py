"""The servers of the outside; started in its namespace. Prints a line for each thing that reaches it.

HTTP on port 80 and 8080, echo on port 7 (TCP and UDP), and on port 53 somebody who is not the guard.
"""

import asyncio
import socket
import sys


def say(*words):
    print(*words, flush=True)


async def echo(reader, writer):
    say("tcp", writer.get_extra_info("sockname")[0], "7")
    try:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def page(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, OSError):
        writer.close()
        return
    address = writer.get_extra_info("sockname")[0]
    say("http", address, head.split(b"\r\n")[0].decode())
    body = f"outside {address}\n".encode()
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    await writer.drain()
    writer.close()


async def resolver(reader, writer):
    say("tcp", writer.get_extra_info("sockname")[0], "53")
    writer.close()


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, address, port, echoes):
        self.address, self.port, self.echoes = address, port, echoes

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        say("udp", self.address, self.port)
        if self.echoes:
            self.transport.sendto(data, peer)


async def main(addresses):
    loop = asyncio.get_running_loop()
    servers = []
    for address in addresses:
        for handler, port in ((echo, 7), (page, 80), (page, 8080), (resolver, 53)):
            servers.append(await asyncio.start_server(handler, address, port))
        for port, echoes in ((7, True), (53, False)):
            await loop.create_datagram_endpoint(
                lambda: Datagrams(address, port, echoes), local_addr=(address, port),
                family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    say("ready")
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1:]))
