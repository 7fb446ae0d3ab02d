"""Sandboxes in the machine's own network (docs/networking.md#the-machines-own-network): each has its execd, and only what is its own
is reached as its own."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess

import httpx
import pytest
from support.inside import exit_code, has_user_namespace, say
from support.leftovers import name_of
from support.server import BINARY, AllInOneServer, complaint, deny_but, free_port
from support.shared_network import POOL, ask, page_of_the_machine, serve
from support.waiting import eventually

MODE = {"network_mode": '"host"'}


@pytest.fixture(scope="module")
def shared(world):
    server = AllInOneServer(world, local=MODE, tables=POOL)
    try:
        yield server.start()
    finally:
        server.tear_down()


@pytest.fixture
def pair(shared):
    """Two sandboxes at once."""
    pair = [shared.create(), shared.create(use_server_proxy=True)]
    yield pair
    for sandbox in pair:
        sandbox.kill()


def ports(server, sandbox):
    """Its ports on the machine."""
    return json.loads((server.state / "sandboxes" / name_of(sandbox.id) / "sandbox.json").read_text())["shared"]


def test_two_at_once_run_commands_and_keep_files_apart(shared, pair):
    for sandbox in pair:
        sandbox.files.write_file("/tmp/mine", sandbox.id)
    for sandbox in pair:
        assert say(sandbox, "cat /tmp/mine") == sandbox.id == sandbox.files.read_file("/tmp/mine")
    own = [ports(shared, sandbox) for sandbox in pair]
    assert len({port for ports in own for port in ports.values()}) == 4
    assert {say(sandbox, "hostname") for sandbox in pair} == {f"sandbox-{sandbox.id[:8]}" for sandbox in pair}


@pytest.mark.parametrize("proxied", [False, True])
def test_an_endpoint_leads_to_what_the_sandbox_itself_serves_and_to_nothing_else(shared, pair, proxied):
    first, second = pair
    port, other = free_port(), free_port()
    serve(first, port)
    serve(second, other, "0.0.0.0")
    assert ask(shared, first, port, proxied) == (200, first.id)
    assert ask(shared, second, other, proxied) == (200, second.id)
    with page_of_the_machine() as mine:
        for sandbox, at in ((first, other), (second, port), (first, mine), (first, shared.port), (first, free_port())):
            status, text = ask(shared, sandbox, at, proxied)
            assert status in (502, 503), (status, text)


def test_execd_listens_on_loopback_and_wants_its_token(shared, pair):
    for sandbox in pair:
        port = ports(shared, sandbox)["execd"]
        for headers in {}, {"X-EXECD-ACCESS-TOKEN": "guess"}:
            asked = httpx.post(f"http://127.0.0.1:{port}/command", json={"command": "id"}, headers=headers)
            assert asked.status_code == 401
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port), timeout=5).close()
    # One sandbox reaches another's, as every program of the machine does, and gets no further.
    port = ports(shared, pair[1])["execd"]
    asked = f"curl -s -o /dev/null -w '%{{http_code}}' -X POST -d '{{}}' http://127.0.0.1:{port}/command"
    assert say(pair[0], asked) == "401"


def test_nothing_of_it_may_change_the_network(pair):
    for sandbox in pair:
        assert has_user_namespace(sandbox)
        sets = say(sandbox, "grep -E 'Cap(Eff|Prm|Bnd|Inh|Amb)' /proc/self/status /proc/1/status | awk '{print $2}'").split()
        net_bind, net_admin, net_raw = 1 << 10, 1 << 12, 1 << 13
        assert sets and not any(int(bits, 16) & (net_bind | net_admin | net_raw) for bits in sets)
        for attempt in (
            "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
            "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
            "import socket; socket.socket().bind(('127.0.0.1', 80))",
            # SIOCSIFFLAGS: take loopback down.
            "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh14x', b'lo', 0))",
        ):
            assert exit_code(sandbox, f'python3 -c "{attempt}"') == 1, attempt
        assert exit_code(sandbox, "echo 1 > /proc/sys/net/ipv4/ip_forward") != 0


def test_names_are_those_of_the_machine(pair):
    for sandbox in pair:
        assert sandbox.files.read_file("/etc/resolv.conf") == pathlib.Path("/etc/resolv.conf").read_text()
        assert say(sandbox, "getent hosts localhost && getent hosts $(hostname)")


@pytest.mark.parametrize("wish, word", [
    ({"networkPolicy": {"defaultAction": "deny"}}, "networkPolicy"), ({"networkPolicy": {}}, "networkPolicy"),
    ({"secureAccess": True}, "secureAccess"), ({"extensions": {"ports.publish": "8000"}}, "ports.publish"),
    ({"extensions": {"poolRef": "ready"}, "networkPolicy": {"defaultAction": "deny"}}, "networkPolicy"),
], ids=str)
def test_what_nobody_could_enforce_is_refused_and_makes_nothing(shared, wish, word):
    before = shared.ids()
    answer = shared.api.post("/v1/sandboxes", json=shared.body(**wish))
    assert answer.status_code == 400 and word in answer.json()["message"], answer.text
    assert answer.json()["code"] == "SANDBOX::INVALID_PARAMETER"
    assert shared.ids() == before


def test_a_policy_of_it_is_not_supported(shared, pair):
    for method, body in (("GET", None), ("PUT", {"defaultAction": "deny"}), ("PATCH", [])):
        answer = shared.api.request(method, f"/v1/sandboxes/{pair[0].id}/networkpolicy", json=body)
        assert answer.status_code == 501 and "network_mode" in answer.json()["message"], answer.text
    # The guard's rules are nowhere: the machine's own network is the last place for them.
    with pytest.raises(Exception):
        shared.create(network_policy=deny_but("a.example"))


def test_a_sandbox_of_a_pool_is_handed_out_with_its_program(shared):
    eventually(lambda: shared.api.get("/v1/pools/ready").json()["status"]["available"] == 1, within=30)
    sandbox = shared.create(extensions={"poolRef": "ready"}, env={"ASKED": "yes"})
    try:
        assert say(sandbox, "echo $ASKED") == "yes"
        assert shared.api.get(f"/v1/sandboxes/{sandbox.id}").json()["allocation"]["poolRef"] == "ready"
    finally:
        sandbox.kill()


def test_it_outlives_its_server_and_its_port_stays_its_own_until_it_is_deleted(shared):
    sandbox = shared.create()
    shared.kill()
    shared.start()
    try:
        assert say(sandbox, "echo there") == "there"
        port = ports(shared, sandbox)["execd"]
        folder = shared.state / "sandboxes" / name_of(sandbox.id)
        os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
        eventually(lambda: shared.api.get(f"/v1/sandboxes/{sandbox.id}").json()["status"]["state"] != "Running")
        with socket.socket() as thief, pytest.raises(OSError):
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", port))
    finally:
        shared.api.delete(f"/v1/sandboxes/{sandbox.id}")


@pytest.mark.parametrize("local, tables, environment, word", [
    ({"user_namespaces": '"off"'}, "", {}, "user namespaces"),
    ({}, "[local.ports]\nfirst = 20000\nlast = 20009\n", {}, "[local.ports]"),
    ({}, '[secure_runtime]\ntype = "gvisor"\n', {}, "secure_runtime"),
    ({}, "", {"OPENSANDBOX_SERVER_API_KEY": "", "OPENSANDBOX_INSECURE_SERVER": "YES"}, "API key"),
    ({"network_mode": '"bridge"'}, "", {}, "routed or host"),
], ids=str)
def test_what_cannot_be_had_with_it_is_said_at_the_start(world, local, tables, environment, word):
    server = AllInOneServer(world, local=MODE | local, tables=tables)
    try:
        done = subprocess.run(
            [BINARY, "serve", "--config", str(server.config)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            env={**os.environ, "OPENSANDBOX_SERVER_API_KEY": server.key, **environment})
        assert done.returncode != 0 and word in (complaint(done.stderr) or done.stderr), done.stderr
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)
