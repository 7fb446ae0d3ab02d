"""Attacks by time and by number: E15, E16, E20, E21, E23; and names that match too much: E10, E12."""

import select
import socket
import struct
import time

import pytest
from arena import ATTACKS, FOUR, ONE, PYTHON, TWO, TWO_V6, asked, deny_but, echo, response
from support.world import run

A, CNAME, AAAA = 1, 5, 28
FOUR_BYTES = socket.inet_aton
# Seconds that a client waits for an answer (resolv.conf(5)).
PATIENCE = 5


def endless(connection):
    """Sends by itself, and echoes nothing."""
    while True:
        connection.sendall(b"from outside\n")
        time.sleep(0.01)


def open_flow(attacker, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = attacker.socket(family=family)
    client.connect((address, port))
    return client


def is_dead(client):
    """Whether the connection was ended from this side of the network: a reset, or an error, not silence."""
    client.settimeout(0.05)
    try:
        client.send(b"x")
        while data := client.recv(4096):
            pass
        return data == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("revoke", [
    lambda one: one.policy("PUT", json=deny_but()), lambda one: one.policy("DELETE", json=["two.example"]),
    lambda one: one.policy("PATCH", json=[{"action": "deny", "target": "two.example"}]),
], ids=["replaced", "removed", "denied"])
@pytest.mark.parametrize("address, kind", [(TWO, "A"), (TWO_V6, "AAAA")])
def test_E15_an_open_flow_dies_with_its_rule_in_both_directions(attacker, arena, revoke, address, kind):
    inside = attacker(deny_but("two.example", "one.example"))
    inside.asks("two.example", kind), inside.asks("one.example")
    kept_address = ONE
    with arena.listen(socket.SOCK_STREAM, address, 7001, endless), arena.listen(socket.SOCK_STREAM, kept_address, 7002, echo):
        with open_flow(inside, address, 7001) as flow, open_flow(inside, kept_address, 7002) as kept:
            assert flow.recv(100)
            assert revoke(inside).status_code == 200
            # The answer comes after the end (docs/threats.md, E15): there is nothing to wait for.
            assert is_dead(flow)
            inside.arrived()
            seen = len([p for p in inside.capture.packets if p.target == address and p.payload[20:]])
            with pytest.raises(OSError):
                flow.send(b"late"), flow.send(b"later")
            inside.arrived()
            assert len([p for p in inside.capture.packets if p.target == address and p.payload[20:]]) == seen
            assert not inside.connects(address, 7001)
            if revoke(inside).status_code == 200 and "one.example" in inside.policy("GET").text:
                kept.sendall(b"still")
                assert kept.recv(100) == b"still"


def test_E15_a_udp_flow_dies_with_its_rule_in_both_directions(attacker, arena):
    inside = attacker(deny_but("two.example"))
    inside.asks("two.example")
    peers = []
    with arena.listen(socket.SOCK_DGRAM, TWO, 7003, lambda data: peers.append(data) or data) as server:
        with inside.socket(socket.SOCK_DGRAM, timeout=2) as flow:
            flow.bind((inside.address, 7004))
            flow.connect((TWO, 7003))
            flow.send(b"one")
            assert flow.recv(100) == b"one"
            assert inside.policy("PUT", json=deny_but()).status_code == 200
            try:
                flow.send(b"two")
            except OSError:
                pass
            inside.arrived()
            assert peers == [b"one"]
            # The other direction: the peer goes on by itself.
            server.socket.sendto(b"from outside", (inside.address, 7004))
            inside.arrived()
            flow.setblocking(False)
            assert not any(readable(flow) == b"from outside" for _ in range(3))


def test_E15_a_flow_from_an_address_that_came_later_dies_with_its_rule(attacker, arena):
    inside = attacker(deny_but(TWO))
    later = "192.0.2.7"
    # As a second network of a container, or an address that a router announces.
    run("ip", "-n", inside.namespace, "address", "add", f"{later}/32", "dev", "eth0")
    run("ip", "-n", arena.outside, "route", "add", f"{later}/32", "via", inside.address, "dev", inside.home)
    with arena.listen(socket.SOCK_STREAM, TWO, 7011, echo), inside.socket() as flow:
        flow.bind((later, 0))
        flow.connect((TWO, 7011))
        flow.sendall(b"one")
        assert flow.recv(100) == b"one"
        assert inside.policy("PUT", json=deny_but()).status_code == 200
        assert is_dead(flow)


def test_E15_what_was_open_while_observed_is_dead_when_the_policy_is_enforced(attacker, arena):
    inside = attacker({"mode": "observe", **deny_but("one.example")})
    assert inside.asks("two.example") == [TWO]
    with arena.listen(socket.SOCK_STREAM, FOUR, 7012, echo), arena.listen(socket.SOCK_STREAM, TWO, 7012, echo), \
            arena.listen(socket.SOCK_DGRAM, FOUR, 7013, lambda data: data):
        with open_flow(inside, FOUR, 7012) as bare, open_flow(inside, TWO, 7012) as named, \
                inside.socket(socket.SOCK_DGRAM) as datagrams:
            datagrams.connect((FOUR, 7013))
            datagrams.send(b"one")
            assert datagrams.recv(100) == b"one"
            assert inside.policy("PUT", json=deny_but("one.example")).json()["mode"] == "enforcing"
            assert is_dead(bare) and is_dead(named)
            with pytest.raises(OSError):
                datagrams.send(b"late"), datagrams.send(b"later")
        assert not inside.connects(FOUR, 7012) and not inside.connects(TWO, 7012)
        assert inside.asks("two.example") == []


def readable(flow):
    try:
        return flow.recv(100) if select.select([flow], [], [], 0.1)[0] else None
    except OSError:
        return None


def test_E16_who_connects_at_once_after_the_answer_gets_through_every_time(attacker, arena):
    inside = attacker(deny_but("*.fresh.example"))
    arena.names.scripts["fresh.example"] = lambda query: response(
        query, *([(asked(query)[0], A, FOUR_BYTES(TWO))] if asked(query)[1] == A else []))
    with arena.listen(socket.SOCK_STREAM, TWO, 7005, echo):
        failed = []
        for number in range(60):
            # Each time a new sandbox rule set: the address is forgotten in between.
            assert inside.policy("PUT", json=deny_but("*.fresh.example", f"n{number}.other.example")).status_code == 200
            question = struct.pack("!HHHHHH", number, 0x100, 1, 0, 0, 0) + b"".join(
                bytes([len(label)]) + label for label in (b"n%d" % number, b"fresh", b"example")) + b"\0\0\1\0\1"
            with inside.socket(socket.SOCK_DGRAM) as resolver, inside.socket() as client:
                resolver.sendto(question, (ONE, 53))
                resolver.recv(512)
                try:
                    client.connect((TWO, 7005))
                except OSError as error:
                    failed.append((number, error))
        assert not failed


def test_E16_nothing_is_open_before_the_first_answer(attacker, arena):
    inside = attacker(deny_but("two.example"))
    with arena.listen(socket.SOCK_STREAM, TWO, 7006, echo) as server:
        assert not inside.connects(TWO, 7006) and server.met == 0
        assert inside.asks("two.example") == [TWO] and inside.connects(TWO, 7006)


@pytest.mark.parametrize("records", [
    [("two.example", A, FOUR_BYTES(TWO))],
    [("odd.example", A, FOUR_BYTES(ONE)), ("two.example", A, FOUR_BYTES(TWO))],
    [("odd.example", CNAME, b"\3odd\7example\0"), ("other.example", A, FOUR_BYTES(TWO))],
    [("odd.example", CNAME, b"\1b\7example\0"), ("b.example", CNAME, b"\3odd\7example\0"), ("c.example", A, FOUR_BYTES(TWO))],
    [("a.odd.example", A, FOUR_BYTES(TWO))], [("example", A, FOUR_BYTES(TWO))],
    [(f"l{n}.example" if n else "odd.example", CNAME, bytes([len(f"l{n + 1}")]) + f"l{n + 1}".encode() + b"\7example\0")
     for n in range(64)] + [("l64.example", A, FOUR_BYTES(TWO))],
    [("odd.example", AAAA, socket.inet_pton(socket.AF_INET6, TWO_V6)), ("odd.example", A, FOUR_BYTES(TWO) + b"\0")],
], ids=["another owner", "beside the right one", "alias to itself", "circle", "below", "above", "64 aliases", "wrong type"])
def test_E20_records_that_do_not_follow_from_the_question_open_nothing(attacker, arena, records):
    arena.names.scripts["odd.example"] = lambda query: response(query, *records)
    inside = attacker(deny_but("odd.example"))
    with arena.listen(socket.SOCK_STREAM, TWO, 7007, echo) as server:
        assert TWO not in inside.asks("odd.example")
        assert not inside.connects(TWO, 7007) and server.met == 0
        arena.names.add("right.example", TWO)
        assert inside.policy("PATCH", json=[{"action": "allow", "target": "right.example"}]).status_code == 200
        assert inside.asks("right.example") == [TWO] and inside.connects(TWO, 7007)


def test_E12_hints_of_https_and_svcb_records_teach_nothing(attacker, arena):
    hints = b"\0\1\0" + struct.pack("!HH", 4, 4) + FOUR_BYTES(TWO)
    for kind, number in (("HTTPS", 65), ("SVCB", 64)):
        arena.names.scripts["hint.example"] = lambda query: response(query, ("hint.example", asked(query)[1], hints))
        inside = attacker(deny_but("hint.example"))
        assert TWO not in inside.dig("hint.example", kind) and not inside.connects(TWO, 443) and not inside.arrived()
        assert TWO in attacker(guarded=False).dig("hint.example", kind)


def test_E12_hints_beside_an_address_teach_nothing(attacker, arena):
    hints = b"\0\1\0" + struct.pack("!HH", 4, 4) + FOUR_BYTES(TWO)
    arena.names.scripts["beside.example"] = lambda query: response(
        query, ("beside.example", A, FOUR_BYTES(ONE)), ("beside.example", 65, hints))
    inside = attacker(deny_but("beside.example"))
    assert inside.asks("beside.example") == [ONE]
    assert not inside.connects(TWO, 443) and not inside.arrived()


@pytest.mark.parametrize("name", ["wild.example", "notwild.example", "xwild.example", "sub.wild.example.two.example"])
def test_E10_a_wildcard_takes_neither_its_apex_nor_what_merely_ends_alike(attacker, arena, name):
    arena.names.add(name, TWO)
    arena.names.add("sub.wild.example", ONE)
    inside = attacker(deny_but("*.wild.example"))
    assert inside.asks(name) == [] and inside.asks("sub.wild.example") == [ONE]


@pytest.mark.parametrize("method, body", [
    ("PUT", b'{"defaultAction":"open"}'), ("PUT", b'{"defaultAction":"ALLOW "}'), ("PUT", b'{"egress":[{"action":"allow"}]}'),
    ("PUT", b'{"egress":"allow"}'), ("PUT", b"[]"), ("PUT", b"{"), ("PUT", b'"allow"'), ("PUT", b"true"),
    ("PUT", b'{"defaultAction":"allow","defaultAction":"deny","x":'), ("PUT", b'{"egress":[{"action":"allow","target":"*"}]}'),
    ("PUT", b'{"egress":[{"action":"allow","target":"two.example","ports":[0]}]}'),
    ("PUT", b'{"egress":[{"action":"allow","target":"198.51.100.0/33"}]}'),
    ("PUT", b'{"egress":[{"action":"allow","target":"two.example\\u0000.evil"}]}'),
    ("PATCH", b'[{"action":"allow","target":"two.example"},{"action":"maybe","target":"x.example"}]'), ("PATCH", b"[]"),
    ("PATCH", b'{"action":"allow","target":"two.example"}'), ("DELETE", b"[1]"), ("POST", b'{"mode":"off"}'),
])
def test_E21_a_policy_that_is_not_understood_changes_nothing(attacker, method, body):
    inside = attacker(deny_but("one.example"))
    before = inside.policy("GET").json()
    assert inside.policy(method, content=body).status_code == 400
    assert inside.policy("GET").json() == before
    assert inside.asks("two.example") == [] and not inside.connects(TWO, 80) and inside.asks("one.example") == [ONE]


@pytest.mark.parametrize("body", [b"", b"null", b"{}"])
def test_E21_an_empty_policy_closes_everything(attacker, body):
    inside = attacker(deny_but("one.example"))
    assert inside.asks("one.example") == [ONE]
    assert inside.policy("PUT", content=body).status_code == 200
    assert inside.asks("one.example") == [] and not inside.connects(ONE, 80)


@pytest.mark.parametrize("allowed", [True, False], ids=["allowed names", "denied names"])
def test_E23_a_flood_of_queries_from_one_sandbox_leaves_another_its_resolver(attacker, arena, allowed):
    # The names of the flood are allowed, and their server never answers: the worst that can wait.
    arena.names.scripts["flood.example"] = lambda query: b""
    flooder, other = attacker(deny_but("*.flood.example" if allowed else "x.example")), attacker(deny_but("*.calm.example"))
    arena.names.scripts["calm.example"] = lambda query: response(query, (asked(query)[0], A, FOUR_BYTES(ONE)))
    flood = flooder.start(PYTHON, str(ATTACKS / "flood.py"), ONE)
    try:
        assert flood.stdout.readline() == "flooding\n"
        slowest = 0
        for number in range(20):
            started = time.monotonic()
            assert other.asks(f"n{number}.calm.example") == [ONE]
            slowest = max(slowest, time.monotonic() - started)
        assert slowest < PATIENCE and flood.poll() is None
    finally:
        flood.kill()
        flood.wait()
        del arena.names.scripts["flood.example"]
    with open(f"/proc/{arena.guard.pid}/status") as status:
        resident, = (int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert resident < 512 * 1024


def test_E23_connections_that_ask_nothing_leave_another_its_resolver(attacker):
    inside, other = attacker(deny_but("one.example")), attacker(deny_but("one.example"))
    held = []
    for _ in range(200):
        client = inside.socket(timeout=1)
        held.append(client)
        try:
            client.connect((ONE, 53))
        except OSError:
            pass
    try:
        assert other.dig("+tcp", "+short", "one.example").split() == [ONE] and other.asks("one.example") == [ONE]
        assert inside.asks("one.example") == [ONE]
    finally:
        for client in held:
            client.close()
