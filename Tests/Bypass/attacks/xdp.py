"""Writes one datagram through an AF_XDP socket, which passes by the device's queue and its hooks:
xdp.py GATEWAY_MAC SOURCE TARGET
"""

import ctypes
import json
import logging
import mmap
import socket
import struct
import sys

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.l2 import Ether  # noqa: E402
from scapy.packet import Raw  # noqa: E402

AF_XDP, SOL_XDP = 44, 283
OFFSETS, TX_RING, UMEM, FILL_RING, COMPLETION_RING = 1, 3, 4, 5, 6
COPY = 2

mac, source, target = sys.argv[1:]
frame = bytes(Ether(dst=mac) / IP(src=source, dst=target) / UDP(sport=4000, dport=443) / Raw(b"<xdp>".ljust(48, b".")))
outcome = "sent"
try:
    wire = socket.socket(AF_XDP, socket.SOCK_RAW)
    memory = mmap.mmap(-1, 4 * 4096)
    memory[:len(frame)] = frame
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    wire.setsockopt(SOL_XDP, UMEM, struct.pack("=QQIIII", address, len(memory), 4096, 0, 0, 0))
    for ring in (FILL_RING, COMPLETION_RING, TX_RING):
        wire.setsockopt(SOL_XDP, ring, 4)
    producer, _, slots, _ = struct.unpack("=16Q", wire.getsockopt(SOL_XDP, OFFSETS, 128))[4:8]
    ring = mmap.mmap(wire.fileno(), slots + 4 * 16, flags=mmap.MAP_SHARED, offset=0x80000000)
    libc = ctypes.CDLL(None, use_errno=True)
    place = struct.pack("=HHIII", AF_XDP, COPY, socket.if_nametoindex("eth0"), 0, 0)
    if libc.bind(wire.fileno(), place, len(place)):
        raise OSError(ctypes.get_errno(), "bind")
    ring[slots:slots + 16] = struct.pack("=QII", 0, len(frame), 0)
    ring[producer:producer + 4] = struct.pack("=I", 1)
    if libc.sendto(wire.fileno(), None, 0, 0x40, None, 0) < 0:
        raise OSError(ctypes.get_errno(), "sendto")
except OSError as error:
    outcome = str(error)
print(json.dumps(outcome))
