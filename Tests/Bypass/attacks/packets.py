"""Sends packets of every kind, each with its name inside: packets.py raw|link|bypass GATEWAY_MAC SOURCE SOURCE6 TARGET TARGET6

`raw` hands whole IP packets to raw sockets; `link` writes frames through a packet socket,
`bypass` through one that passes by the device's queue. Prints what was sent.
"""

import json
import logging
import socket
import sys

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption  # noqa: E402
from scapy.layers.inet6 import (  # noqa: E402
    ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN)
from scapy.layers.l2 import GRE, Ether  # noqa: E402
from scapy.layers.sctp import SCTP, SCTPChunkInit  # noqa: E402
from scapy.packet import Raw  # noqa: E402

road, mac, source, source6, target, target6 = sys.argv[1:]
four, six = IP(src=source, dst=target, id=77), IPv6(src=source6, dst=target6)
inner = IP(src=source, dst=target) / UDP(sport=4000, dport=53)
inner6 = IPv6(src=source6, dst=target6) / UDP(sport=4000, dport=53)
syn, datagram = TCP(sport=4001, dport=443, flags="S"), UDP(sport=4002, dport=443)
pad = PadN(optdata=b"pppp")
kinds = {
    "tcp-syn": four / syn,
    "tcp-ack": four / TCP(sport=4003, dport=443, flags="A"),
    "tcp-rst": four / TCP(sport=4004, dport=443, flags="R"),
    "tcp-fin": four / TCP(sport=4005, dport=443, flags="FPU"),
    "tcp-null": four / TCP(sport=4006, dport=443, flags=0),
    "udp-quic": four / datagram,
    "icmp-echo": four / ICMP(id=7),
    "icmp-reply": four / ICMP(type=0, id=8),
    "icmp-unreachable": four / ICMP(type=3, code=1) / inner,
    "icmp-timestamp": four / ICMP(type=13),
    "sctp": four / SCTP(sport=4007, dport=80) / SCTPChunkInit(),
    "gre": four / GRE() / inner,
    "ip-in-ip": IP(src=source, dst=target, proto=4) / inner,
    "6in4": IP(src=source, dst=target, proto=41) / inner6,
    "esp": IP(src=source, dst=target, proto=50),
    "dccp": IP(src=source, dst=target, proto=33),
    "udplite": IP(src=source, dst=target, proto=136) / Raw(b"\x0f\xa0\x01\xbb\0\0\0\0"),
    "experimental": IP(src=source, dst=target, proto=253),
    "options": IP(src=source, dst=target, options=[IPOption(b"\x01")]) / datagram,
    "fragment-first": IP(src=source, dst=target, id=78, flags="MF", proto=17) / Raw(bytes(UDP(sport=1, dport=443, len=600, chksum=0)) + b"f" * 72),
    "fragment-last": IP(src=source, dst=target, id=79, frag=20, proto=17),
    "spoofed": IP(src="203.0.113.9", dst=target) / datagram,
    "tcp-syn-6": six / syn,
    "tcp-ack-6": six / TCP(sport=4003, dport=443, flags="A"),
    "udp-6": six / datagram,
    "echo-6": six / ICMPv6EchoRequest(),
    "hop-by-hop": six / IPv6ExtHdrHopByHop(options=[pad]) / datagram,
    "destination-options": six / IPv6ExtHdrDestOpt(options=[pad]) / syn,
    "routing": six / IPv6ExtHdrRouting(type=4, segleft=0) / datagram,
    "many-headers": six / IPv6ExtHdrDestOpt(options=[pad]) / IPv6ExtHdrDestOpt(options=[pad]) / syn,
    "atomic-fragment": six / IPv6ExtHdrFragment(id=5, offset=0, m=0) / datagram,
    "fragment-last-6": six / IPv6ExtHdrFragment(id=6, offset=30, m=0, nh=17),
    "no-next-header": IPv6(src=source6, dst=target6, nh=59),
    "4in6": six / inner,
    "6in6": six / inner6,
    "esp-6": IPv6(src=source6, dst=target6, nh=50),
    "mobility": IPv6(src=source6, dst=target6, nh=135) / Raw(b"\x3b\0\0\0\0\0\0\0"),
}
if road != "raw":
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    if road == "bypass":
        wire.setsockopt(263, 20, 1)  # SOL_PACKET, PACKET_QDISC_BYPASS
    wire.bind(("eth0", 0))
else:
    wire = {
        4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
        6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
    }
sent = {}
for name, packet in kinds.items():
    packet = packet / Raw(f"<{name}>".encode().ljust(48, b"."))
    try:
        if road != "raw":
            wire.send(bytes(Ether(dst=mac) / packet))
        else:
            wire[packet.version].sendto(bytes(packet), (target if packet.version == 4 else target6, 0))
        sent[name] = "sent"
    except OSError as error:
        sent[name] = str(error)
print(json.dumps(sent))
