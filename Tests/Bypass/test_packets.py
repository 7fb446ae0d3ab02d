"""Attacks by raw packets and other protocols: E7, E13, E14."""

import errno
import socket
import struct
import subprocess

import pytest
from arena import FOUR, ICMP, ONE, ONE_V6, PYTHON, TCP, TWO, TWO_V6, UDP, deny_but, echo
from support.name_server import _wire
from support.waiting import eventually


def zoo(attacker, road):
    """Which packets of `attacks/packets.py` were tried, and which reached the outside."""
    sent = attacker.attack("packets", road, attacker.gateway_mac, attacker.address, attacker.address_v6, TWO, TWO_V6)
    arrived = b"\n".join(packet.bytes for packet in attacker.arrived())
    return set(sent), {name for name in sent if f"<{name}>".encode() in arrived}, sent


# A part of a packet whose rest never comes; the guard's own kernel holds it back.
LONE = {"fragment-first", "fragment-last", "fragment-last-6"}
# Not the beginning of a flow, or no flow at all: refused even where the address is allowed.
FLOWLESS = {"tcp-ack", "tcp-rst", "tcp-fin", "tcp-null", "tcp-ack-6"}


def test_E13_E14_no_packet_from_a_raw_socket_leaves_a_denied_sandbox(attacker):
    tried, arrived, _ = zoo(attacker(deny_but()), "raw")
    assert len(tried) > 30 and not arrived


def test_E13_E14_without_the_guard_every_packet_leaves(attacker):
    tried, arrived, sent = zoo(attacker(guarded=False), "raw")
    assert arrived == tried, sent


def test_E13_E14_where_a_rule_allows_every_protocol_the_same_packets_pass(attacker):
    rules = [{"action": "allow", "target": target, "protocol": "any"} for target in (TWO, TWO_V6)]
    tried, arrived, sent = zoo(attacker(deny_but(*rules)), "raw")
    assert arrived >= tried - LONE - FLOWLESS - {"icmp-reply", "spoofed"}, sent


def test_E14_an_allowed_name_opens_no_more_than_tcp_and_udp(attacker):
    inside = attacker(deny_but("two.example"))
    assert inside.asks("two.example") == [TWO] and inside.asks("two.example", "AAAA") == [TWO_V6]
    _, arrived, sent = zoo(inside, "raw")
    passes = {"tcp-syn", "tcp-syn-6", "udp-quic", "udp-6"}
    assert passes <= arrived <= passes | {
        "options", "hop-by-hop", "destination-options", "routing", "many-headers", "atomic-fragment"}, sent


# A packet socket; one that passes by the queue of its device (PACKET_QDISC_BYPASS).
LINKS = pytest.mark.parametrize("road", ["link", "bypass"])


@LINKS
def test_E14_no_frame_from_a_packet_socket_leaves_a_denied_sandbox(attacker, road):
    inside = attacker(deny_but())
    tried, arrived, _ = zoo(inside, road)
    assert len(tried) > 30 and not arrived

    def told():
        events = inside.ask("GET", "events", params={"limit": 256}).json()["events"]
        return next((event for event in events if event.get("kind") == "packetSocket" and event.get("address") == TWO), None)

    event = eventually(told, what="the frames that were refused")
    assert event["verdict"] == "deny" and event["source"] == inside.address, event


@LINKS
def test_E14_frames_from_a_packet_socket_do_not_leave_where_every_protocol_is_allowed(attacker, road):
    rules = [{"action": "allow", "target": target, "protocol": "any"} for target in (TWO, TWO_V6)]
    _, arrived, _ = zoo(attacker(deny_but(*rules)), road)
    assert not arrived


@LINKS
def test_E14_frames_from_a_packet_socket_leave_without_the_guard(attacker, road):
    tried, arrived, _ = zoo(attacker(guarded=False), road)
    assert arrived == tried


def sends_by_xdp(attacker):
    """What arrives of a frame written through an AF_XDP socket."""
    said = attacker.attack("xdp", attacker.gateway_mac, attacker.address, TWO)
    return said, [packet for packet in attacker.arrived() if b"<xdp>" in packet.bytes]


@pytest.mark.xfail(strict=True, reason="AF_XDP sockets hand frames to the driver, below every hook of the namespace; they take "
                   "CAP_NET_RAW, which sandboxes of the local runtime have not")
def test_E14_no_frame_from_an_xdp_socket_leaves_a_denied_sandbox(attacker):
    _, arrived = sends_by_xdp(attacker(deny_but()))
    assert not arrived


def test_E14_a_frame_from_an_xdp_socket_leaves_without_the_guard(attacker):
    said, arrived = sends_by_xdp(attacker(guarded=False))
    assert arrived, said


# What the kernel makes of "communication administratively prohibited" (RFC 1812, section 5.2.7.1; RFC 4443, section 3.1).
@pytest.mark.parametrize("address, error", [(TWO, errno.EHOSTUNREACH), (TWO_V6, errno.EACCES)])
def test_E7_E14_a_refusal_is_told_in_the_protocols_own_words_and_nothing_hangs(attacker, address, error):
    inside = attacker(deny_but())
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside.socket(family=family) as stream, inside.socket(socket.SOCK_DGRAM, family) as datagrams:
        assert stream.connect_ex((address, 443)) == errno.ECONNREFUSED
        datagrams.connect((address, 443))
        with pytest.raises(PermissionError):
            datagrams.send(b"one")
        with pytest.raises(OSError) as refusal:
            datagrams.recv(100)
        assert refusal.value.errno == error
    assert not inside.arrived()


@pytest.mark.parametrize("address", [TWO, TWO_V6])
def test_E7_an_address_that_was_never_resolved_is_shut(attacker, arena, address):
    with arena.listen(socket.SOCK_STREAM, address, 443, echo) as server:
        inside = attacker(deny_but("two.example"))
        assert not inside.connects(address, 443) and server.met == 0
        assert inside.asks("two.example", "AAAA" if ":" in address else "A") == [address]
        assert inside.connects(address, 443)
        assert attacker(guarded=False).connects(address, 443)


@pytest.mark.parametrize("words, protocol", [
    (("--udp", "-p", "443"), UDP), (("--icmp",), ICMP), (("--icmp", "-C", "13"), ICMP), (("-S", "-p", "443"), TCP),
    (("-A", "-p", "443"), TCP), (("-FPU", "-p", "443"), TCP), (("--rawip", "--ipproto", "132"), 132),
    (("--rawip", "--ipproto", "47"), 47), (("--udp", "-p", "443", "-f", "-d", "64"), UDP),
    (("-S", "-p", "443", "-f", "-d", "64"), TCP),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_E14_hping_sends_nothing_through(attacker, words, protocol):
    def sent(one):
        one.run("hping3", "-q", "-c", "2", "-i", "u1000", "-d", "40", *words, TWO, timeout=3)
        return [packet for packet in one.arrived() if packet.protocol == protocol]

    assert not sent(attacker(deny_but()))
    assert sent(attacker(guarded=False))
    if "-A" not in words and "-FPU" not in words:
        assert sent(attacker(deny_but({"action": "allow", "target": TWO, "protocol": "any"})))


@pytest.mark.parametrize("scan", ["-sS", "-sT", "-sU", "-sA", "-sX", "-sO", "-sY", "-PE", "-PP"])
def test_E14_nmap_finds_nothing(attacker, scan):
    ports = ["-p", "47,132"] if scan == "-sO" else ["-sn"] if scan.startswith("-P") else ["-p", "22,80,443"]
    words = ("nmap", "--send-ip", "-n", *([] if "-sn" in ports else ["-Pn"]), "--max-retries", "0", "-T5", scan, *ports, TWO)

    def sent(one):
        one.run(*words, timeout=10)
        return one.arrived()

    assert not sent(attacker(deny_but()))
    assert sent(attacker(guarded=False))


def test_E14_no_tunnel_in_icmp(attacker, arena):
    with arena.listen(socket.SOCK_STREAM, ONE, 7, echo) as server:
        proxy = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{arena.outside}", "ptunnel-ng", "-v", "0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            inside = attacker(deny_but())
            assert not carries(inside, timeout=1.5) and server.met == 0 and not inside.arrived()
            assert carries(attacker(guarded=False), timeout=10) and server.met == 1
        finally:
            proxy.kill()
            proxy.wait()


def carries(attacker, timeout):
    """Whether what is said to the tunnel's near end comes back from the far one."""
    attacker.start("ptunnel-ng", "-p", FOUR, "-l", "2222", f"-r{ONE}", "-R7", "-v", "0")

    def dial():
        client = attacker.socket(timeout=timeout)
        try:
            client.connect(("127.0.0.1", 2222))
            return client
        except OSError:
            client.close()

    with eventually(dial, what="the tunnel's near end") as client:
        try:
            client.sendall(b"payload")
            return client.recv(100) == b"payload"
        except OSError:
            return False


QUOTING = """
import socket, sys
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.packet import Raw
here, there, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
six = ":" in here
quoted = (IPv6 if six else IP)(src=there, dst=here) / TCP(sport=443, dport=port) / Raw(b"<quoted>" * 9)
error = (IPv6(src=here, dst=there) / ICMPv6DestUnreach(code=4) if six else IP(src=here, dst=there) / ICMP(type=3, code=3)) / quoted
socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).sendto(bytes(error), (there, 0))
"""


@pytest.mark.parametrize("address", [TWO, TWO_V6])
def test_E14_an_icmp_error_about_an_allowed_flow_carries_nothing_out(attacker, arena, address):
    def sent(one):
        with arena.listen(socket.SOCK_STREAM, address, 443, echo):
            with one.socket(family=socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
                client.connect((address, 443))
                here, port, *_ = client.getsockname()
                one.run(PYTHON, "-c", QUOTING, here, address, str(port))
                client.sendall(b"still")
                assert client.recv(100) == b"still"
        return [packet for packet in one.arrived() if b"<quoted>" in packet.bytes]

    tcp = {"action": "allow", "target": address, "ports": [443], "protocol": "tcp"}
    assert not sent(attacker(deny_but(tcp)))
    assert sent(attacker(deny_but(tcp, {"action": "allow", "target": address, "protocol": "icmp"})))
    assert sent(attacker(guarded=False))


# What a refusal itself says, and to whom.
FREEBIND_V4, FREEBIND_V6 = 15, 78


def sends_in_anothers_name(attacker, source, target, kind):
    """What arrives at `source` when it is stated as the source of a packet to `target`; freebind takes no capability."""
    six = ":" in source
    with attacker.socket(kind, socket.AF_INET6 if six else socket.AF_INET, timeout=0.2) as client:
        client.setsockopt(socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP, FREEBIND_V6 if six else FREEBIND_V4, 1)
        client.bind((source, 4000))
        try:
            client.connect((target, 443))
            client.send(b"<reflected>")
        except OSError:
            pass
    return [packet for packet in attacker.arrived() if source in (packet.source, packet.target)]


KINDS = pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["UDP", "TCP"])


@KINDS
def test_E14_a_refusal_carries_nothing_out_to_a_source_that_was_made_up(attacker, kind):
    assert not sends_in_anothers_name(attacker(deny_but()), TWO_V6, "2001:db8:77::1", kind)


def test_E14_a_refusal_carries_nothing_out_to_a_source_made_up_by_a_raw_socket(attacker):
    _, arrived, _ = zoo(attacker(deny_but()), "raw")
    assert "spoofed" not in arrived


@KINDS
def test_E14_a_made_up_source_of_version_4_takes_privilege(attacker, kind):
    assert not sends_in_anothers_name(attacker(deny_but()), TWO, "203.0.113.1", kind)


def asks_in_anothers_name(attacker, arena, source):
    """What arrives when a query states another's address as its source: the filter's answer goes there."""
    question = struct.pack("!HHHHHH", 1, 0x100, 1, 0, 0, 0) + _wire("reflected.denied.example") + b"\0\1\0\1"
    six = ":" in source
    with attacker.socket(socket.SOCK_DGRAM, socket.AF_INET6 if six else socket.AF_INET, timeout=0.2) as client:
        client.setsockopt(socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP, FREEBIND_V6 if six else FREEBIND_V4, 1)
        client.bind((source, 4000))
        try:
            client.sendto(question, (ONE_V6 if six else ONE, 53))
        except OSError:
            pass
    return [packet for packet in attacker.arrived() if b"reflected" in packet.bytes]


@pytest.mark.parametrize("source", [TWO, TWO_V6])
def test_E14_the_filter_answers_to_nobody_whose_address_was_made_up(attacker, arena, source):
    assert not asks_in_anothers_name(attacker(deny_but()), arena, source)


def answers_to_anothers_name(attacker):
    """What arrives when a server of the sandbox answers a client of the sandbox that states another's address."""
    with attacker.socket(socket.SOCK_DGRAM, socket.AF_INET6, timeout=0.5) as server, \
            attacker.socket(socket.SOCK_DGRAM, socket.AF_INET6) as client:
        server.bind((attacker.address_v6, 4444))
        client.setsockopt(socket.IPPROTO_IPV6, FREEBIND_V6, 1)
        client.bind((TWO_V6, 4000))
        try:
            client.sendto(b"hello", (attacker.address_v6, 4444))
            server.sendto(b"<smuggled>", server.recvfrom(100)[1])
        except OSError:
            pass
    return [packet for packet in attacker.arrived() if b"smuggled" in packet.bytes]


def test_E14_a_server_in_the_sandbox_answers_to_nobody_whose_address_was_made_up(attacker):
    assert not answers_to_anothers_name(attacker(deny_but()))
    assert answers_to_anothers_name(attacker(guarded=False))


def test_E14_a_query_with_a_made_up_source_leaves_without_the_guard(attacker, arena):
    assert asks_in_anothers_name(attacker(guarded=False), arena, TWO_V6)


@KINDS
def test_E14_a_packet_with_a_made_up_source_leaves_without_the_guard(attacker, kind):
    assert sends_in_anothers_name(attacker(guarded=False), TWO_V6, "2001:db8:77::1", kind)
