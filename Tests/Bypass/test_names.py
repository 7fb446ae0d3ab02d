"""Attacks by names and through the resolver: E1, E2, E3, E8, E9, E10, E12, E20."""

import ipaddress
import socket
import struct

import pytest
from arena import ONE, ONE_V6, TWO, TWO_V6, UDP, asked, deny_but, echo, page, response

A, CNAME, AAAA, OPT, HTTPS = 1, 5, 28, 41, 65


def labels(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


def ask(attacker, message, server=ONE, port=53, timeout=3):
    """The answer to a message of the test's own making, or None."""
    with attacker.socket(socket.SOCK_DGRAM, timeout=timeout) as client:
        client.sendto(message, (server, port))
        try:
            return client.recv(4096)
        except OSError:
            return None


def query(name, kind=A, extra=b"", counts=(1, 0, 0, 0), identifier=0x1234):
    wire = name if isinstance(name, bytes) else labels(name)
    return struct.pack("!HHHHHH", identifier, 0x100, *counts) + wire + struct.pack("!HH", kind, 1) + extra


def code(answer):
    return answer[3] & 15


def test_E2_a_query_is_rebuilt_before_it_leaves(attacker, arena):
    inside = attacker(deny_but("*.wild.example"))
    arena.names.add("secret.wild.example", ONE)
    before = len(arena.names.queries)
    inside.dig("+ednsopt=65001:deadbeefdeadbeef", "+nocookie", "+subnet=192.0.2.1/32", "SeCrEt.WiLd.ExAmPlE", "A")
    sent, = arena.names.queries[before:]
    assert struct.unpack("!HHHHH", sent[2:12]) == (0x0100, 1, 0, 0, 1)
    question = labels("secret.wild.example") + struct.pack("!HH", A, 1)
    # The letters' case is the guard's own, anew for each query (0x20), and not what the sandbox chose.
    assert sent[12:12 + len(question)].lower() == question.lower()
    opt = sent[12 + len(question):]
    assert opt[:3] == b"\0" + struct.pack("!H", OPT) and opt[-2:] == b"\0\0" and len(opt) == 11


@pytest.mark.parametrize("kind", ["NULL", "ANY", "AXFR", "KEY", "TYPE65399", "HINFO"])
def test_E2_types_made_for_tunnels_do_not_leave_even_for_allowed_names(attacker, arena, kind):
    inside = attacker(deny_but("*.wild.example"))
    before = len(arena.names.queries)
    inside.dig("payload.wild.example", kind)
    assert len(arena.names.queries) == before
    inside.dig("payload.wild.example", "TXT")
    assert len(arena.names.queries) == before + 1


@pytest.mark.parametrize("message", [
    query("a.wild.example", counts=(2, 0, 0, 0), extra=labels("hidden.wild.example") + struct.pack("!HH", A, 1)),
    query("a.wild.example", counts=(1, 1, 0, 0), extra=labels("x") + struct.pack("!HHIH", A, 1, 0, 4) + b"leak"),
    query("a.wild.example", counts=(1, 0, 0, 1), extra=labels("x") + struct.pack("!HHIH", A, 1, 0, 4) + b"leak"),
    query("a.wild.example", extra=b"trailing bytes"),
], ids=["two questions", "an answer", "an additional record", "trailing bytes"])
def test_E2_a_message_with_more_than_a_question_is_refused(attacker, arena, message):
    inside = attacker(deny_but("*.wild.example"))
    before = len(arena.names.queries)
    assert code(ask(inside, message)) == 1
    assert len(arena.names.queries) == before
    assert ask(inside, query("a.wild.example")) and len(arena.names.queries) == before + 1


@pytest.mark.parametrize("port, address", [
    (53, TWO), (853, TWO), (5353, TWO), (5353, "224.0.0.251"), (5355, "224.0.0.252"), (137, "10.77.255.255"), (443, TWO),
    (5300, TWO), (853, TWO_V6), (5353, "ff02::fb"), (5355, "ff02::1:3"),
])
def test_E3_no_other_resolver_hears_a_datagram(attacker, port, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def asks(one):
        with one.socket(socket.SOCK_DGRAM, family) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            try:
                client.sendto(query("one.example"), (address, port, 0, 2) if address.startswith("ff") else (address, port))
            except OSError:
                pass
        return [p for p in one.arrived() if p.protocol == UDP and p.port == port]

    assert not asks(attacker(deny_but()))
    assert asks(attacker(guarded=False))


@pytest.mark.parametrize("port", [853, 443, 8443])
def test_E3_no_tls_reaches_another_resolver(attacker, arena, port):
    with arena.listen(socket.SOCK_STREAM, TWO, port, echo) as server:
        words = ("openssl", "s_client", "-connect", f"{TWO}:{port}", "-servername", "dns.example", "-alpn", "dot")
        inside = attacker(deny_but())
        inside.run(*words, timeout=5)
        assert server.met == 0 and not inside.arrived()
        assert attacker(deny_but({"action": "allow", "target": TWO, "ports": [port], "protocol": "tcp"})).connects(TWO, port)
        attacker(guarded=False).run(*words, timeout=1)
        assert server.met == 2


REBINDING = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "64:ff9b::7f00:1", "fd00::1", "fe80::1",
    "ff02::1", "::1", "::", "2002:a00:1::1", "::10.0.0.1",
]


@pytest.fixture
def rebound(arena):
    """A name that answers with every address inside, and a genuine one."""
    def answer(question):
        kind = asked(question)[1]
        addresses = [ipaddress.ip_address(text) for text in [*REBINDING, ONE, ONE_V6]]
        return response(question, *(
            ("rebind.example", kind, a.packed) for a in addresses if (a.version == 4) == (kind == A)))

    arena.names.scripts["rebind.example"] = answer
    yield
    del arena.names.scripts["rebind.example"]


def test_E8_an_allowed_name_that_answers_with_addresses_inside_yields_only_the_others(attacker, rebound):
    inside = attacker(deny_but("rebind.example"))
    assert inside.asks("rebind.example", "A") == [ONE]
    assert inside.asks("rebind.example", "AAAA") == [ONE_V6]
    for address in REBINDING:
        if address not in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"):
            assert not inside.connects(address, 80, timeout=1), address
    # A guard beside the attacker asks its upstream by the same link.
    assert not [packet for packet in inside.arrived() if packet.target in REBINDING or packet.port == 80]
    assert {"127.0.0.1", "169.254.169.254"} <= set(attacker(guarded=False).asks("rebind.example"))


def test_E8_an_alias_into_an_internal_zone_yields_a_public_name_nothing(attacker, arena):
    # An address rule would lift the filter: without it the internal name alone may have the address.
    arena.names.add("db.cluster.local", "10.1.2.3")
    arena.names.add("alias.example", "db.cluster.local")
    inside = attacker(deny_but("alias.example", "db.cluster.local"))
    assert inside.asks("alias.example") == [] and not inside.connects("10.1.2.3", 80, timeout=1)
    assert not [packet for packet in inside.arrived() if packet.target == "10.1.2.3"]
    assert inside.asks("db.cluster.local") == ["10.1.2.3"]
    assert "10.1.2.3" in attacker(guarded=False).asks("alias.example")


def test_E8_the_gateway_stays_shut_when_a_name_leads_to_it(attacker, arena):
    inside = attacker(deny_but("gate.example"))
    arena.names.add("gate.example", inside.gateway)
    with arena.listen(socket.SOCK_STREAM, inside.gateway, 80, page) as server:
        assert inside.asks("gate.example") == []
        assert not inside.connects(inside.gateway, 80) and server.met == 0
    free = attacker(guarded=False)
    with arena.listen(socket.SOCK_STREAM, free.gateway, 80, page) as server:
        assert free.connects(free.gateway, 80)


@pytest.mark.parametrize("name", [
    b"\x0bone.example\0", b"\x04one\0\x07example\0", b"\x04one \x07example\0", b"\x04one\n\x07example\0",
    b"\x03one\x07exa\0ple\0", b"\x0a198.51.100\x011\0", b"\x40" + b"a" * 64 + b"\x07example\0",
    (b"\x3f" + b"a" * 63) * 4 + b"\x07example\0", b"\xc0\x0c", b"\x03one\xc0\x0c", b"\x80one\x07example\0",
    b"\x05two\\.\x07example\0", b"\x03one\x07example", b"\x03\xff\xfe\xfd\x07example\0",
], ids=["dot inside a label", "NUL", "space", "newline", "NUL within", "address in a label", "label of 64", "name of 264",
        "pointer to itself", "pointer back", "reserved bits", "escaped dot", "without end", "not ASCII"])
def test_E9_odd_names_are_not_forwarded(attacker, arena, name):
    inside = attacker({"defaultAction": "allow", "egress": []})
    before = len(arena.names.queries)
    answer = ask(inside, query(name), timeout=1)
    assert answer is None or code(answer) in (1, 3) and answer[6:8] == b"\0\0"
    assert len(arena.names.queries) == before
    assert code(ask(inside, query("one.example", AAAA))) == 0


@pytest.mark.parametrize("host", [
    "198.51.100.2", "3325256706", "0xc6336402", "0306.063.0144.02", "198.51.25602", "0xc6.0x33.0x64.0x2",
    "[2001:db8::2]", "[::ffff:198.51.100.2]", "two.example.", "TWO.EXAMPLE", "two.example..",
    "198.51.100.2.nip.example", "localhost.two.example", "notone.example", "one.example.two.example",
])
def test_E9_no_spelling_of_an_address_reaches_it(attacker, arena, host):
    arena.names.add("198.51.100.2.nip.example", TWO)
    arena.names.add("localhost.two.example", TWO)
    inside = attacker(deny_but("one.example"))
    with arena.listen(socket.SOCK_STREAM, TWO, 80, page) as two, arena.listen(socket.SOCK_STREAM, TWO_V6, 80, page) as six:
        asked_before = len(arena.names.queries)
        inside.run("curl", "-gsS", "--max-time", "3", f"http://{host}/")
        assert two.met == six.met == 0 and len(arena.names.queries) == asked_before
        assert not inside.arrived()


@pytest.mark.parametrize("host", [
    "198.51.100.2", "3325256706", "0xc6336402", "0306.063.0144.02", "198.51.25602", "0xc6.0x33.0x64.0x2", "[2001:db8::2]",
    "[::ffff:198.51.100.2]",
])
def test_E9_the_same_spellings_reach_it_without_the_guard_and_where_the_address_is_allowed(attacker, arena, host):
    address = TWO_V6 if "2001" in host else TWO
    with arena.listen(socket.SOCK_STREAM, address, 80, page) as server:
        for one in (attacker(guarded=False), attacker(deny_but(address))):
            assert "outside" in one.run("curl", "-gsS", "--max-time", "3", f"http://{host}/").stdout
        assert server.met == 2


def test_E1_a_denied_name_is_told_by_whom_it_is_denied(attacker):
    inside = attacker({"defaultAction": "allow", "egress": [
        {"action": "deny", "target": "two.example"}, {"action": "deny", "target": "*.two.example", "ports": [25]}]})
    said = inside.dig("two.example", "A")
    assert "status: NXDOMAIN" in said and "EDE: 15 (Blocked)" in said and "denied by rule deny two.example" in said, said
    assert "EDE" not in inside.dig("one.example", "A") and "EDE" not in inside.dig("sub.two.example", "A")
    said = attacker(deny_but("one.example")).dig("two.example", "A")
    assert "EDE: 15 (Blocked)" in said and "denied by default" in said, said


BUECHER = "xn--bcher-kva.example"


@pytest.mark.parametrize("target", ["bücher.example", "BÜCHER.example", BUECHER, "*.bücher.example"])
def test_E11_a_rule_in_unicode_is_about_the_name_that_is_asked_for(attacker, arena, target):
    below = "sub." if target.startswith("*.") else ""
    name = below + BUECHER
    arena.names.add(name, TWO)
    rule = {"action": "deny", "target": target}
    with arena.listen(socket.SOCK_STREAM, TWO, 80, page) as server:
        inside = attacker({"defaultAction": "allow", "egress": [rule]})
        before = arena.names.count(name)
        assert inside.asks(name) == inside.asks(name.upper()) == [] and arena.names.count(name) == before
        # The label as its letters in UTF-8, and in Latin-1: no name at all.
        for label in ("bücher".encode(), "bücher".encode("latin-1")):
            wire = (b"\3sub" if below else b"") + bytes([len(label)]) + label + b"\7example\0"
            assert code(ask(inside, query(wire))) == 3
        assert server.met == 0
        inside = attacker(deny_but(target))
        assert inside.asks(name) == [TWO] and inside.connects(TWO, 80)
    assert attacker(guarded=False).asks(name) == [TWO]


@pytest.mark.parametrize("target", [
    "bu\u0308cher.example", "\uff45vil.example", "evil\u3002example", "xn--.example", "xn--bcher-kvb\u00fc.example",
    "xn--ls8h\u200d.example", "\ufb01le.example", "a\u200bb.example",
], ids=["combining mark", "full width", "other full stop", "empty A-label", "mixed", "joiner", "ligature", "zero width"])
def test_E11_a_rule_that_could_mean_another_name_is_refused_aloud(attacker, target):
    inside = attacker(deny_but("one.example"))
    before = inside.policy("GET").text
    for action in ("allow", "deny"):
        answer = inside.policy("PATCH", json=[{"action": action, "target": target}])
        assert answer.status_code == 400 and "invalid target" in answer.text
    assert inside.policy("GET").text == before and inside.asks("one.example") == [ONE]


@pytest.mark.parametrize("variables", [
    ("NO_PROXY=*", "http_proxy=http://127.0.0.1:1"), ("NO_PROXY=two.example", "ALL_PROXY=http://198.51.100.4:3128"),
    ("http_proxy=http://two.example:3128",), (f"http_proxy=http://{TWO}:3128",), (f"ALL_PROXY=socks5h://{TWO}:3128",),
    ("HTTP_PROXY=", "http_proxy=", "no_proxy=.example"),
], ids=" ".join)
def test_E17_what_a_client_believes_of_proxies_opens_nothing(attacker, arena, variables):
    # The unguarded have no resolver but this.
    known = [word for port in (80, 3128) for word in ("--resolve", f"two.example:{port}:{TWO}")]

    def met(one, *words):
        with arena.listen(socket.SOCK_STREAM, TWO, 80, page) as web, arena.listen(socket.SOCK_STREAM, TWO, 3128, page) as proxy:
            one.run("env", *variables, "curl", "-4gsS", "--max-time", "3", *words, "http://two.example/")
            return web.met + proxy.met

    inside = attacker(deny_but("one.example"))
    assert met(inside) == met(inside, *known) == 0 and not inside.arrived()
    assert met(attacker(deny_but("two.example", TWO))) == 1
    assert met(attacker(guarded=False), *known) == 1


@pytest.mark.parametrize("name", ["one.example", "ONE.example", "one.example."])
def test_E9_curl_finds_an_allowed_name_by_the_same_road(attacker, arena, name):
    inside = attacker(deny_but("one.example"))
    with arena.listen(socket.SOCK_STREAM, ONE, 80, page):
        assert "outside" in inside.run("curl", "-4gsS", "--max-time", "3", f"http://{name}/").stdout
