"""The first arena: root inside a real sandbox of the server, with the tools that are there (E3, E7, E9, E13, E14, E18, E19)."""

import pytest
from arena import Capture
from opensandbox.models.execd import RunCommandOpts
from support.server import deny_but
from support.inside import exit_code, fetches, resolves, say
from support.waiting import eventually


@pytest.fixture
def capture(world):
    capture = Capture(world.namespace, "up0")
    yield capture
    capture.close()


@pytest.fixture
def inside(create):
    return create(network_policy=deny_but("one.example"))


def arrived(sandbox, world, capture, *needles):
    """How many packets with one of these texts reached the outside, when one that may pass has followed them."""
    for address in (world.one, world.one_v6):
        before = world.heard(f"udp {address} 7")
        say(sandbox, f"getent ahosts one.example >/dev/null; echo barrier >/dev/udp/{address}/7")
        eventually(lambda: world.heard(f"udp {address} 7") > before, what="the packet that may pass")
    return sum(any(needle.encode() in packet.bytes for needle in needles) for packet in capture.packets)


def python(sandbox, text, *arguments):
    sandbox.files.write_file("/tmp/attack.py", text)
    return sandbox.commands.run(f"timeout 10 python3 /tmp/attack.py {' '.join(arguments)}")


SPRAY = """
import socket, sys
for address in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in (7, 123, 443, 853, 5353, 5355, 137):
        s = socket.socket(family, socket.SOCK_DGRAM)
        try:
            for _ in range(3): s.sendto(b"<sprayed>", (address, port))
        except OSError: pass
"""


def test_E3_E7_E14_datagrams_to_addresses_that_are_not_allowed_do_not_leave(inside, create, world, capture):
    python(inside, SPRAY, world.two, world.two_v6, "224.0.0.251")
    assert arrived(inside, world, capture, "<sprayed>") == 0
    free = create()
    python(free, SPRAY, world.two, world.two_v6)
    assert arrived(free, world, capture, "<sprayed>") > 10


@pytest.mark.parametrize("port", [80, 8080, 7])
def test_E7_bash_opens_no_connection_to_a_raw_address(inside, create, world, port):
    for address in (world.two, world.two_v6, f"::ffff:{world.two}"):
        dial = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/{port}'"
        assert exit_code(inside, dial) != 0
    assert exit_code(create(), f"timeout 3 bash -c 'exec 3<>/dev/tcp/{world.two}/{port}'") == 0


def spellings(address):
    parts = [int(part) for part in address.split(".")]
    number = int.from_bytes(bytes(parts), "big")
    return [str(number), hex(number), ".".join(f"0{part:o}" for part in parts), f"{parts[0]}.{parts[1]}.{number & 0xffff}",
            f"[::ffff:{address}]", "two.example", "two.example.", "two.example%00.one.example", "one.example@two.example"]


def test_E9_no_spelling_of_an_address_is_fetched(inside, create, world):
    heard = world.heard(f"http {world.two}")
    for spelling in spellings(world.two):
        assert not fetches(inside, f"http://{spelling}/"), spelling
    assert world.heard(f"http {world.two}") == heard
    assert fetches(inside, "http://one.example/") and fetches(create(), f"http://{spellings(world.two)[0]}/")


RAW = """
import json, socket
opened = []
for family, kind, protocol in (
    (socket.AF_PACKET, socket.SOCK_RAW, 0x300), (socket.AF_PACKET, socket.SOCK_DGRAM, 0x300),
    (socket.AF_INET, socket.SOCK_RAW, 255), (socket.AF_INET, socket.SOCK_RAW, 1), (socket.AF_INET6, socket.SOCK_RAW, 58),
    (socket.AF_INET, socket.SOCK_RAW, 47), (socket.AF_INET6, socket.SOCK_RAW, 255),
):
    try:
        socket.socket(family, kind, protocol)
        opened.append([int(family), int(kind), protocol])
    except OSError: pass
SO_MARK, SO_PRIORITY, IP_TRANSPARENT, IPV6_TRANSPARENT = (1, 36), (1, 12), (0, 19), (41, 75)
for level, option in (SO_MARK, SO_PRIORITY, IP_TRANSPARENT, IPV6_TRANSPARENT):
    s = socket.socket(socket.AF_INET6 if level == 41 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.setsockopt(level, option, 7)
        opened.append([level, option])
    except OSError: pass
print(json.dumps(opened))
"""


def test_E14_E18_root_opens_no_raw_socket_and_sets_no_mark(inside):
    done = python(inside, RAW)
    assert [message.text.strip() for message in done.logs.stdout] == ["[]"], done.logs.stderr


@pytest.mark.parametrize("command", [
    "nft flush ruleset", "nft delete table inet sallyport", "iptables -F", "ip route add 203.0.113.0/24 dev lo",
    "ip link set eth0 down", "ip link add d0 type dummy", "ip address add 203.0.113.7/32 dev eth0",
    "ip link add v0 type veth peer name v1", "ip tunnel add t0 mode sit remote 198.51.100.1", "tc qdisc add dev eth0 root pfifo",
    "unshare -n true", "nsenter -t 1 -n true && nsenter --net=/proc/1/ns/net ip link set eth0 down",
    "echo 1 >/proc/sys/net/ipv4/ip_forward", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
    "mknod /tmp/tun c 10 200 && exec 3<>/tmp/tun", "ls /run/sallyport/*.sock", "conntrack -F",
])
def test_E18_root_changes_nothing_of_its_network(inside, world, command):
    assert exit_code(inside, command) != 0
    assert not fetches(inside, f"http://{world.two}/") and fetches(inside, "http://one.example/")


KERNEL = """
import ctypes, json, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
failed = []
# NETLINK_NETFILTER: delete every table.
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
def message(kind, flags, body): return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body
header = lambda resource: struct.pack("!BBH", 0, 0, resource)
s.send(message(0x10, 1, header(10)) + message(10 << 8 | 2, 5, header(0)) + message(0x11, 1, header(10)))
s.settimeout(2)
answer = s.recv(4096)
failed.append(struct.unpack("=i", answer[16:20])[0] < 0)
for flag in (0x40000000, 0x40000000 | 0x10000000):
    failed.append(libc.unshare(flag) < 0)
failed.append(libc.syscall(321, 5, 0, 0) < 0)       # bpf
failed.append(libc.mount(b"none", b"/mnt", b"tmpfs", 0, 0) < 0)
print(json.dumps(failed))
"""


def test_E18_the_kernel_refuses_netlink_namespaces_bpf_and_mounts(inside, world):
    done = python(inside, KERNEL)
    assert done.logs.stdout, done.logs.stderr
    assert "false" not in done.logs.stdout[0].text, done.logs.stdout[0].text
    assert not fetches(inside, f"http://{world.two}/") and fetches(inside, "http://one.example/")


def test_E18_killing_everything_in_sight_opens_nothing(create, world):
    kill = ("until [ -e /tmp/go ]; do sleep 0.02; done; for p in /proc/[0-9]*; do p=${{p#/proc/}}; "
            "case $p in 1|$$|$PPID) ;; *) kill -9 $p;; esac; done; "
            "while :; do echo x >/dev/udp/{}/7; echo x >/dev/udp/one.example/7; sleep 0.02; done 2>/dev/null").format(world.two)
    sandbox = create(network_policy=deny_but("one.example"), entrypoint=["bash", "-c", kill])
    before = world.heard(f"udp {world.two} 7"), world.heard(f"udp {world.one} 7")
    sandbox.files.write_file("/tmp/go", "")
    eventually(lambda: world.heard(f"udp {world.one} 7") > before[1] + 5, what="what is allowed")
    assert world.heard(f"udp {world.two} 7") == before[0]


LISTENERS = """
import json, socket
found = []
for line in open("/proc/net/tcp").read().splitlines()[1:]:
    words = line.split()
    if words[3] == "0A": found.append(int(words[1].split(":")[1], 16))
taken = []
for port in found:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(socket.AF_INET, kind); s.setsockopt(1, 2, 1); s.setsockopt(1, 15, 1)
        try: s.bind(("127.0.0.1", port)); kind == socket.SOCK_STREAM and s.listen(); taken.append((port, int(kind)))
        except OSError: pass
print(json.dumps([found, taken]))
"""


def test_E18_the_filter_goes_on_while_its_ports_are_fought_for(inside, world):
    python(inside, LISTENERS)
    assert resolves(inside, "one.example") and not resolves(inside, "two.example")


FREEBIND = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(41, 78, 1)
s.bind((sys.argv[1], 4000))
for port in range(443, 463):
    try: s.sendto(b"<reflected>", (sys.argv[2], port))
    except OSError: pass
"""


def test_E14_no_made_up_source_carries_bytes_out(inside, world, capture):
    python(inside, FREEBIND, world.two_v6, "2001:db8:ffff::1")
    python(inside, FREEBIND, world.two_v6, world.one_v6)
    assert arrived(inside, world, capture, "<reflected>") == 0


def test_E19_traffic_in_a_loop_from_the_first_moment_never_passes(create, world, capture):
    early = ("while :; do echo '<early>' >/dev/udp/{0}/7; (exec 3<>/dev/tcp/{0}/80) ; "
             "echo '<early>' >/dev/udp/{1}/7; done 2>/dev/null").format(world.two, world.two_v6)
    heard = world.heard(f"udp {world.two} 7")
    for _ in range(3):
        sandbox = create(network_policy=deny_but("one.example"), entrypoint=["bash", "-c", early])
        assert arrived(sandbox, world, capture, "<early>") == 0
    assert world.heard(f"udp {world.two} 7") == heard
    free = create(entrypoint=["bash", "-c", early])
    eventually(lambda: world.heard(f"udp {world.two} 7") > heard, what="the loop of a sandbox without a policy")
    assert free.id


def test_E19_a_resumed_sandbox_has_its_rules(create, world, api):
    sandbox = create(network_policy=deny_but("one.example"))
    sandbox.commands.run(
        f"while :; do echo x >/dev/udp/{world.two}/7; sleep 0.01; done 2>/dev/null", opts=RunCommandOpts(background=True))
    heard = world.heard(f"udp {world.two} 7")
    sandbox.pause()
    eventually(lambda: sandbox.get_info().status.state == "Paused", what="the pause")
    assert api.post(f"/v1/sandboxes/{sandbox.id}/resume").status_code == 202
    eventually(lambda: resolves(sandbox, "one.example"), what="the resumed sandbox")
    assert world.heard(f"udp {world.two} 7") == heard and fetches(sandbox, "http://one.example/")
