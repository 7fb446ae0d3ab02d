"""E3 under an open policy, where the operator has closed the roads to other resolvers: no policy opens them again."""

import socket

import pytest
from arena import ONE, ONE_V6, TCP, TWO, TWO_V6, UDP, deny_but, echo, page
from support.waiting import eventually

OPEN = {"defaultAction": "allow", "egress": []}
# Rules by which a tenant would have its resolver back.
INSISTING = {"defaultAction": "allow", "egress": [
    {"action": "allow", "target": target} for target in (ONE, TWO, TWO_V6, "doh.example", "dns.google")]}
# Who may set a policy may observe, but the operator's rules are not a policy's.
OBSERVED = {"mode": "observe", "egress": []}
POLICIES = pytest.mark.parametrize("policy", [OPEN, INSISTING, OBSERVED], ids=["open", "insisting", "observed"])


@pytest.fixture(scope="module")
def arena(closing):
    # In the outside, a resolver by that name, and one that everybody knows.
    closing.names.add("doh.example", TWO, TWO_V6)
    closing.names.add("dns.google", ONE, ONE_V6)
    return closing


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def is_closed_over_udp(inside, free, address, port):
    """Of both a packet is sent and a connection was tried: nothing of the one has arrived, and both of the other's."""
    for one in (inside, free):
        with one.socket(socket.SOCK_DGRAM, family(address)) as client:
            try:
                client.sendto(b"\xc0\0\0\0\x01 an initial packet of QUIC", (address, port))
            except OSError:
                pass
    assert not [p for p in inside.arrived() if p.port == port]
    assert {p.protocol for p in free.arrived() if p.port == port} == {TCP, UDP}


@POLICIES
@pytest.mark.parametrize("address", [ONE, TWO, ONE_V6, TWO_V6])
def test_E3_port_853_is_closed_to_every_address_over_tls_and_quic(attacker, arena, address, policy):
    inside, free = attacker(policy), attacker(guarded=False)
    with arena.listen(socket.SOCK_STREAM, address, 853, echo) as server:
        assert not inside.connects(address, 853) and server.met == 0
        assert free.connects(address, 853)
    is_closed_over_udp(inside, free, address, 853)


@POLICIES
@pytest.mark.parametrize("address", [TWO, TWO_V6])
def test_E3_a_known_resolver_has_no_port_443_over_tcp_or_http3_and_keeps_its_other_ports(
        attacker, arena, address, policy):
    inside, free = attacker(policy), attacker(guarded=False)
    with (arena.listen(socket.SOCK_STREAM, address, 443, echo) as https,
          arena.listen(socket.SOCK_STREAM, address, 80, page) as web):
        assert not inside.connects(address, 443) and https.met == 0
        assert inside.connects(address, 80)
        eventually(lambda: web.met == 1, within=5, what="the other port")
        assert free.connects(address, 443)
    is_closed_over_udp(inside, free, address, 443)


@POLICIES
@pytest.mark.parametrize("name", ["doh.example", "DoH.Example", "dns.google"])
def test_E3_a_known_resolvers_name_is_not_told_and_not_forwarded(attacker, arena, name, policy):
    inside = attacker(policy)
    before = arena.names.count(name.lower())
    said = inside.dig(name, "A")
    assert "status: NXDOMAIN" in said and "EDE: 15" in said, said
    assert inside.asks(name, "AAAA") == [] and arena.names.count(name.lower()) == before
    assert attacker(guarded=False).asks(name)
    assert inside.asks("one.example") == [ONE]


def test_E3_a_resolver_that_nobody_knows_looks_like_a_web_site(attacker, arena):
    # What is documented as open: nothing tells it from the sites that the policy lets be reached.
    with arena.listen(socket.SOCK_STREAM, ONE, 443, echo):
        assert attacker(OPEN).connects(ONE, 443)
        assert not attacker(deny_but("two.example")).connects(ONE, 443)
