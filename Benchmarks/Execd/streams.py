"""Many commands at once whose output is read as it comes: memory of execd, and how late events are.

    python3 Benchmarks/Execd/streams.py [COMMANDS...]

Each command prints the time every 200 ms for SECONDS; a client of each reads its stream. An event's delay is the time from its
print to its last byte at the client. 500 commands unless told; give several numbers to find where delays begin to grow.
"""

import os
import select
import socket
import sys
import time

from daemon import Execd, many_files

SECONDS = float(os.environ.get("SECONDS", "8"))
# A program that costs little by itself: what is measured is execd.
SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int main(int count, char **words) {
    int rounds = atoi(words[1]);
    usleep(atoi(words[2]));
    for (int i = 0; i < rounds; i++) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        printf("%lld\n", now.tv_sec * 1000000LL + now.tv_nsec / 1000);
        fflush(stdout);
        usleep(200000);
    }
}
"""


def build():
    path = f"/tmp/stream-printer-{os.getpid()}"
    with open(path + ".c", "w") as source:
        source.write(SOURCE)
    assert os.system(f"cc -O1 -static -o {path} {path}.c") == 0
    os.unlink(path + ".c")
    return path


def measure(count, program):
    execd = Execd()
    try:
        before = execd.memory()
        sockets, ready = {}, select.epoll()
        for number in range(count):
            client = socket.create_connection(("127.0.0.1", execd.port))
            pause = number * 200_000 // count
            body = f'{{"argv":["{program}","{int(SECONDS * 5)}","{pause}"]}}'
            client.sendall(f"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            sockets[client.fileno()] = (client, bytearray())
            ready.register(client, select.EPOLLIN)
        delays, peak, ended, last = [], 0, 0, time.monotonic()
        busy = execd.processor()
        while ended < count:
            for number, _ in ready.poll(1):
                client, rest = sockets[number]
                part = client.recv(1 << 16)
                now = time.monotonic_ns() // 1000
                assert part, "a stream broke off"
                rest += part
                while b"\n" in rest:
                    line, _, left = bytes(rest).partition(b"\n")
                    rest[:] = left
                    if b'"stdout"' in line:
                        text = line.split(b'"text":"')[1].split(b'"')[0].removeprefix(b"\\n")
                        delays.append(now - int(text))
                    elif b"execution_complete" in line:
                        ended += 1
                        ready.unregister(client)
                    assert b'"error"' not in line, line
            if time.monotonic() - last > 0.5:
                peak, last = max(peak, execd.memory()), time.monotonic()
        delays.sort()
        assert len(delays) == count * int(SECONDS * 5), len(delays)
        at = lambda part: delays[int(len(delays) * part)] / 1000
        print(f"{count} commands: {len(delays)} events, delay {at(.5):.2f} ms (p99 {at(.99):.2f}, most {at(.9999):.1f}); "
              f"private memory {before / 2**20:.1f} to {peak / 2**20:.1f} MiB "
              f"({(peak - before) / count / 1024:.1f} KiB each); {(execd.processor() - busy) / len(delays) * 1e6:.0f} "
              "us of processor an event")
    finally:
        execd.close()


if __name__ == "__main__":
    many_files()
    printer = build()
    try:
        for wanted in [int(word) for word in sys.argv[1:]] or [500]:
            measure(wanted, printer)
    finally:
        os.unlink(printer)
