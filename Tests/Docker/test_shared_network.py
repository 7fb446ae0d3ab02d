"""Containers in the machine's own network (docs/docker.md#the-machines-own-network): each has its execd, and only what is its own is
reached as its own, though root of all of them is the same user."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import threading

import httpx
import pytest
from opensandbox.exceptions import SandboxException
from plain_server import body, container, plain_engine, reaches, server  # noqa: F401
from support.inside import say
from support.server import BINARY, AllInOneServer, complaint, deny_but, free_port
from support.shared_network import POOL, ask, page_of_the_machine, serve
from support.waiting import answers, eventually

HOST = 'network_mode = "host"\n'
TABLES = HOST + POOL


@pytest.fixture(scope="module")
def pair(server):
    """Two sandboxes at once."""
    pair = [server.create(), server.create(use_server_proxy=True)]
    yield pair
    for sandbox in pair:
        sandbox.kill()


def ports(engine, sandbox):
    """Its ports on the machine."""
    labels = container(engine, sandbox)["Config"]["Labels"]
    return {name: int(labels[f"sallyport.io/{name}-port"]) for name in ("execd", "code")}


def can_bind(port):
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            thief.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_two_at_once_run_commands_and_keep_files_apart(server, plain_engine, pair):
    for sandbox in pair:
        sandbox.files.write_file("/tmp/mine", sandbox.id)
    for sandbox in pair:
        assert say(sandbox, "cat /tmp/mine") == sandbox.id == sandbox.files.read_file("/tmp/mine")
        assert container(plain_engine, sandbox)["HostConfig"]["NetworkMode"] == "host"
        assert say(sandbox, "echo $JUPYTER_PORT") == str(ports(plain_engine, sandbox)["code"])
        assert say(sandbox, "getent hosts localhost && getent hosts $(hostname)")
    assert len({port for sandbox in pair for port in ports(plain_engine, sandbox).values()}) == 4


def test_an_api_that_is_killed_is_started_again_at_its_port(pair):
    with pytest.raises(SandboxException):
        pair[0].commands.run("pkill -KILL -f -- '[-]-serve'")
    assert eventually(lambda: answers(lambda: say(pair[0], "echo there"), SandboxException) == "there")


@pytest.mark.parametrize("proxied", [False, True])
def test_an_endpoint_leads_to_what_the_sandbox_itself_serves_and_to_nothing_else(server, plain_engine, pair, proxied):
    first, second = pair
    port, other = free_port(), free_port()
    serve(first, port)
    serve(second, other, "0.0.0.0")
    assert ask(server, first, port, proxied) == (200, first.id)
    assert ask(server, second, other, proxied) == (200, second.id)
    with page_of_the_machine() as mine:
        own = ports(plain_engine, second)["execd"]
        for sandbox, at in (
            (first, other), (second, port), (first, mine), (first, own), (first, server.port), (first, free_port())
        ):
            status, text = ask(server, sandbox, at, proxied)
            assert status in (502, 503), (at, status, text)


def test_execd_listens_on_loopback_and_wants_its_token(server, plain_engine, pair):
    for sandbox in pair:
        port = ports(plain_engine, sandbox)["execd"]
        for headers in {}, {"X-EXECD-ACCESS-TOKEN": "guess"}:
            asked = httpx.post(f"http://127.0.0.1:{port}/command", json={"command": "id"}, headers=headers)
            assert asked.status_code == 401
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port), timeout=5).close()


def test_nothing_of_it_may_change_the_network(pair):
    sets = say(pair[0], "grep -E 'Cap(Eff|Prm|Bnd|Inh|Amb)' /proc/self/status /proc/1/status | awk '{print $2}'").split()
    net_bind, net_admin, net_raw = 1 << 10, 1 << 12, 1 << 13
    assert sets and not any(int(bits, 16) & (net_bind | net_admin | net_raw) for bits in sets)
    # Where a machine reserves no ports for root, as in a container, that port is anybody's.
    if int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) > 80:
        assert "PermissionError" in say(pair[0], "python3 -c \"import socket; socket.socket().bind(('127.0.0.1', 80))\" 2>&1 || true")


@pytest.mark.parametrize("wish, word", [
    ({"networkPolicy": {"defaultAction": "deny"}}, "networkPolicy"), ({"secureAccess": True}, "secureAccess"),
    ({"extensions": {"ports.publish": "8000"}}, "ports.publish"),
    ({"extensions": {"poolRef": "ready"}, "networkPolicy": {"defaultAction": "deny"}}, "networkPolicy"),
], ids=str)
def test_what_nobody_could_enforce_is_refused_and_makes_nothing(server, wish, word):
    before = server.ids()
    answer = server.api.post("/v1/sandboxes", json=body(**wish))
    assert answer.status_code == 400 and word in answer.json()["message"], answer.text
    assert answer.json()["code"] == "SANDBOX::INVALID_PARAMETER" and server.ids() == before


def test_a_policy_of_it_is_not_supported(server, pair):
    answer = server.api.put(f"/v1/sandboxes/{pair[0].id}/networkpolicy", json={"defaultAction": "deny"})
    assert answer.status_code == 501 and "network_mode" in answer.json()["message"], answer.text


def test_a_sandbox_of_a_pool_is_handed_out_with_its_program(server):
    eventually(lambda: server.api.get("/v1/pools/ready").json()["status"]["available"] == 1, within=30)
    sandbox = server.create(extensions={"poolRef": "ready"}, env={"ASKED": "yes"})
    try:
        assert say(sandbox, "echo $ASKED") == "yes"
        assert server.api.get(f"/v1/sandboxes/{sandbox.id}").json()["allocation"]["poolRef"] == "ready"
    finally:
        sandbox.kill()


class Thief(threading.Thread):
    """Takes the port of the next container before its execd does, and notes what it is told there."""

    def __init__(self, engine):
        super().__init__(daemon=True)
        self.engine, self.known = engine, set(engine.run("ps", "--all", "--quiet", "--no-trunc").stdout.split())
        self.socket, self.port, self.heard = socket.socket(), None, b""
        self.is_over = threading.Event()

    def run(self):
        transport = httpx.HTTPTransport(uds=self.engine.socket)
        with httpx.Client(transport=transport, base_url="http://engine") as api:
            while not self.port and not self.is_over.is_set():
                for found in api.get("/containers/json", params={"all": "true"}).json():
                    if found["Id"] not in self.known and found["State"] == "created":
                        self.port = int(found["Labels"].get("sallyport.io/execd-port") or 0) or None
        while not self.is_over.is_set():
            try:
                self.socket.bind(("127.0.0.1", self.port))
                break
            except OSError:
                continue
        self.socket.listen()
        self.socket.settimeout(0.2)
        while not self.is_over.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self.socket.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(0.2)
                    self.heard += connection.recv(65536)


def test_a_port_that_another_program_takes_first_is_given_up_for_another(server, plain_engine):
    # The pool's next one would be robbed in its place.
    eventually(lambda: server.api.get("/v1/pools/ready").json()["status"]["available"] == 1, within=30)
    thief = Thief(plain_engine)
    thief.start()
    try:
        sandbox = server.create()
        try:
            assert thief.port and ports(plain_engine, sandbox)["execd"] != thief.port
            assert say(sandbox, "echo there") == "there"
        finally:
            sandbox.kill()
    finally:
        thief.is_over.set()
        thief.join()
        thief.socket.close()
    assert not thief.heard, "the server told a stranger something"
    eventually(lambda: sandbox.id not in "".join(
        plain_engine.run(*words).stdout for words in (("ps", "--all", "--format", "{{.Names}}"), ("volume", "ls"))))


def test_it_outlives_its_server_and_its_port_stays_its_own_until_it_is_deleted(server, plain_engine):
    sandbox = server.create()
    server.kill()
    server.start()
    assert say(sandbox, "echo there") == "there"
    port = ports(plain_engine, sandbox)["execd"]
    plain_engine.run("kill", f"sandbox-{sandbox.id}")
    eventually(lambda: server.api.get(f"/v1/sandboxes/{sandbox.id}").json()["status"]["state"] != "Running")
    assert not can_bind(port)
    server.api.delete(f"/v1/sandboxes/{sandbox.id}")
    # Connections that it had may be in TIME_WAIT yet, which keeps others from binding, but nobody listens.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_who_takes_the_port_of_one_that_ended_while_no_server_ran_is_told_nothing(server, plain_engine):
    sandbox = server.create()
    port = ports(plain_engine, sandbox)["execd"]
    told = server.api.get(f"/v1/sandboxes/{sandbox.id}/endpoints/44772").json()
    server.kill()
    plain_engine.run("kill", f"sandbox-{sandbox.id}")
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        server.start()
        asked = httpx.get(f"http://{told['endpoint']}/ping", headers=told["headers"], timeout=20)
        assert asked.status_code >= 400, asked.text
        eventually(lambda: server.api.get(f"/v1/sandboxes/{sandbox.id}").json()["status"]["state"] != "Running")
        server.api.delete(f"/v1/sandboxes/{sandbox.id}")
        thief.setblocking(False)
        with pytest.raises(BlockingIOError):
            thief.accept()


def test_sandboxes_keep_the_network_that_they_were_made_with(server, pair):
    """From the machine's own to links and back."""
    text = server.config.read_text()
    server.stop()
    server.config.write_text(text.replace(HOST, ""))
    server.start()
    assert say(pair[0], "echo there") == "there"
    guarded = server.create(network_policy=deny_but("one.example"))
    try:
        server.stop()
        server.config.write_text(text)
        server.start()
        assert reaches(guarded, "http://one.example/") and not reaches(guarded, "http://two.example/")
        assert say(pair[1], "echo there") == "there"
    finally:
        guarded.kill()


@pytest.mark.parametrize("more, environment, word", [
    ("[local.ports]\nfirst = 20000\nlast = 20009\n", {}, "[local.ports]"),
    ("", {"OPENSANDBOX_SERVER_API_KEY": "", "OPENSANDBOX_INSECURE_SERVER": "YES"}, "API key"),
    ("", {"DOCKER_HOST": "tcp://127.0.0.1:2375"}, "asks who connects"),
], ids=str)
def test_what_cannot_be_had_with_it_is_said_at_the_start(world, more, environment, word):
    server = AllInOneServer(world, tables=f'[runtime]\ntype = "docker"\n[docker]\n{HOST}{more}')
    try:
        done = subprocess.run(
            [BINARY, "serve", "--config", str(server.config)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            env={**os.environ, "OPENSANDBOX_SERVER_API_KEY": server.key, **environment})
        assert done.returncode != 0 and word in (complaint(done.stderr) or done.stderr), done.stderr
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)
