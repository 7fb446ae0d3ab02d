"""The three processes of a server: a fault ends one of them, and the others serve on."""

import os
import pathlib
import signal
import subprocess
import threading

import httpx
import pytest
from opensandbox.models.sandboxes import NetworkRule
from support.server import BINARY, AllInOneServer, deny_but
from support.inside import ECHO_SERVER, fetches, resolves, say, start_server
from support.parts import PARTS, is_gone, part, status, trap, words
from support.waiting import answers, eventually

# Says ten times a second whether an allowed name resolves, and whether what is denied is open after all.
WATCHER = """
while :; do
    if timeout 20 getent ahosts one.example >/dev/null; then echo found; else echo lost; fi
    if timeout 1 getent ahosts two.example >/dev/null; then echo OPEN; fi
    if timeout 0.3 bash -c 'exec 3<>/dev/tcp/%s/80' 2>/dev/null; then echo OPEN; fi
    sleep 0.02
done >>/tmp/watched
"""
# A mask of capabilities(7): CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_SYS_ADMIN.
GUARD_RIGHTS = 1 << 10 | 1 << 12 | 1 << 21


@pytest.fixture
def own_server(world):
    """A server that a signal ends as a fault of its own would: without the handler that describes crashes, which lets a
    process live on whose signal came from elsewhere.
    """
    server = AllInOneServer(world)
    try:
        yield server.start(SWIFT_BACKTRACE="enable=no")
    finally:
        server.tear_down()


class Load:
    """Requests one after the other, until the end: how many went well, and how the others did not."""

    def __init__(self, client, path, headers=None):
        self.client, self.path, self.headers = client, path, headers
        self.good, self.bad = 0, []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.is_over.is_set():
            try:
                answer = self.client.get(self.path, headers=self.headers)
                if answer.status_code == 200:
                    self.good += 1
                else:
                    self.bad.append(answer.status_code)
            except httpx.TransportError as error:
                self.bad.append(type(error).__name__)

    def goes_on(self, count=5):
        """Waits for some more that go well."""
        wanted = self.good + count
        eventually(lambda: self.good >= wanted, what=f"requests for {self.path}, {self.bad[-5:]}")

    def end(self):
        self.is_over.set()
        self.thread.join(timeout=30)
        assert not self.thread.is_alive()


def health(server):
    return answers(lambda: httpx.get(f"{server.base}/health").json(), httpx.TransportError)


def is_whole(server):
    return health(server) == {"status": "healthy"}


def renewed(server, name, old):
    """Waits until a part runs anew and all serve."""
    eventually(lambda: part(server, name) not in (None, old), what=f"a new {name}")
    eventually(lambda: is_whole(server), what="health")


def test_each_process_has_the_rights_that_it_needs_and_no_more(own_server):
    found = {name: status(part(own_server, name)) for name in PARTS}
    guard, gateway = found["guard"], found["gateway"]
    assert int(guard["CapEff"], 16) == int(guard["CapPrm"], 16) == int(guard["CapBnd"], 16) == GUARD_RIGHTS
    assert guard["NoNewPrivs"] == "1"
    user = gateway["Uid"].split()[0]
    assert user not in ("0", "65534") and set(gateway["Uid"].split()) == set(gateway["Gid"].split()) == {user}
    assert gateway["Groups"] == ""
    assert {int(gateway[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert gateway["NoNewPrivs"] == "1" and gateway["Seccomp"] == "2"
    # Every thread, those of the event loops, too.
    pid = part(own_server, "gateway")
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        assert status(f"{pid}/task/{thread.name}")["Seccomp"] == "2"


def test_no_process_says_a_key_in_its_arguments_or_its_environment(own_server):
    for name in PARTS:
        pid = part(own_server, name)
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        assert b"OPENSANDBOX" not in environment and own_server.key.encode() not in environment
        assert words(pid)[1:] == ["process", name]
    # The gateway has none of the rest either.
    assert b"HOME=" not in pathlib.Path(f"/proc/{part(own_server, 'gateway')}/environ").read_bytes()
    secrets = own_server.state / "secrets"
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o600}


def test_the_log_is_one_and_each_line_says_which_process_wrote_it(own_server):
    own_server.create()
    own_server.stop()
    lines = [line for line in own_server.log.read_text().splitlines() if " sallyport:" in line]
    assert lines and all(" process=" in line for line in lines), lines[:3]
    for name in (*PARTS, "supervisor"):
        assert any(f" process={name}" in line for line in lines), name


def test_metrics_of_all_three_are_read_at_the_api(own_server):
    own_server.create(network_policy=deny_but("one.example"))
    httpx.get(f"{own_server.gateway}/status.ok")
    text = own_server.api.get("/metrics").text
    for name in PARTS:
        assert f'sallyport_part_up{{part="{name}"}} 1\n' in text
    for family in ("egress_nftables_rules", "sallyport_ingress", "sallyport_leftovers"):
        assert family in text, (family, text)
    families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(families) == len(set(families))


@pytest.mark.parametrize("number", [signal.SIGILL, signal.SIGSEGV], ids=["ill", "segv"])
@pytest.mark.parametrize("name", PARTS)
def test_a_process_that_traps_is_started_again_and_the_others_notice_nothing(own_server, world, name, number):
    server = own_server
    sandbox = server.create(network_policy=deny_but("one.example"))
    start_server(sandbox, ECHO_SERVER)
    sandbox.files.write_file("/tmp/watch.sh", WATCHER % world.two)
    say(sandbox, "(setsid bash /tmp/watch.sh >/dev/null 2>&1 &)")
    watched = inside(sandbox, "/tmp/watched")
    eventually(lambda: watched().count("found") > 2, what="names")
    api = httpx.Client(base_url=server.base, headers={"OPEN-SANDBOX-API-KEY": server.key}, timeout=30)
    kept = httpx.Client(base_url=server.gateway, timeout=30)
    route = {"OpenSandbox-Ingress-To": f"{sandbox.id}-8000"}
    loads = {"server": Load(api, "/v1/sandboxes"), "gateway": Load(kept, "/x", route)}
    try:
        for load in loads.values():
            load.goes_on()
        old = part(server, name)
        trap(old, number)
        eventually(lambda: is_gone(old), what="the trap")
        renewed(server, name, old)
        for load in loads.values():
            load.goes_on()
        before = watched().count("found")
        eventually(lambda: watched().count("found") > before + 2, what="names")
    finally:
        for load in loads.values():
            load.end()
    for other, load in loads.items():
        # Of the part that died: the one request that was being answered. A connection that it had was closed, and no new
        # one was refused: its socket has been listening all the while.
        assert len(load.bad) <= (1 if other == name else 0), (other, load.bad, load.good)
        assert "ConnectError" not in load.bad
    assert "OPEN" not in watched()
    assert name == "guard" or "lost" not in watched()
    # All of it works as before.
    assert [rule.target for rule in sandbox.get_egress_policy().egress] == ["one.example"]
    sandbox.patch_egress_rules([NetworkRule(action="allow", target="three.example")])
    assert fetches(sandbox, "http://three.example/") and not resolves(sandbox, "two.example")
    assert server.process.poll() is None
    sandbox.close()


def inside(sandbox, path):
    """Reads a file of a sandbox's from the host, whoever serves meanwhile."""
    pid = int(say(sandbox, "sleep 7777 >/dev/null 2>&1 & echo $!"))

    def found():
        for process in pathlib.Path("/proc").iterdir():
            if process.name.isdigit() and words(process.name) == ["sleep", "7777"]:
                inner = status(process.name)["NSpid"].split()[-1]
                if int(inner) == pid:
                    return pathlib.Path(f"/proc/{process.name}/root{path}")
        return None

    # Its number is known before it has become the program.
    file = eventually(found, what="the sandbox's process")
    return lambda: answers(file.read_text, FileNotFoundError) or ""


def test_connections_through_the_gateway_outlive_the_server_and_the_guard(own_server):
    sandbox = own_server.create()
    start_server(sandbox, ECHO_SERVER)
    with httpx.Client(base_url=own_server.gateway, headers={"OpenSandbox-Ingress-To": f"{sandbox.id}-8000"}) as client:
        opened = []
        client.event_hooks["request"].append(lambda request: None)
        for name in ("server", "guard"):
            assert client.get("/a").status_code == 200
            network = client._transport._pool.connections
            assert len(network) == 1
            opened.append(network[0])
            old = part(own_server, name)
            trap(old)
            eventually(lambda: is_gone(old), what="the trap")
            # While it is started again, over the same connection.
            assert client.get("/b").status_code == 200
            assert client._transport._pool.connections[0] is network[0]
            renewed(own_server, name, old)
        assert opened[0] is opened[1]
    sandbox.close()


def keep_down(server, name, until):
    """Ends a part whenever it is there, so that the supervisor lets it wait, until a question is true."""
    def once():
        pid = part(server, name)
        if pid is not None:
            answers(lambda: os.kill(pid, signal.SIGKILL), ProcessLookupError)
        return until()

    return eventually(once, what=f"what happens without the {name}")


def test_health_says_which_part_is_down_and_what_needs_it_is_refused(own_server):
    server = own_server
    sandbox = server.create(network_policy=deny_but("one.example"))
    keep_down(server, "gateway", lambda: health(server) == {"status": "degraded", "down": ["gateway"]})
    eventually(lambda: is_whole(server), what="the gateway")

    def says(question):
        return answers(question, httpx.TransportError)

    made = {sandbox.id}

    def refused():
        answer = says(lambda: server.api.post("/v1/sandboxes", json=server.body()))
        # The guard may have been there for long enough.
        if answer is not None and answer.status_code == 202:
            made.add(answer.json()["id"])
        return answer is not None and answer.status_code == 503 and answer.json()

    def turned_away(question):
        """What is answered while the guard is away: never anything but 503 or, where it was there for long enough, success."""
        answer = says(question)
        assert answer is None or answer.status_code in (200, 503), answer.text
        return answer is not None and answer.status_code == 503 and answer.json()

    one = f"/v1/sandboxes/{sandbox.id}"
    rule = {"action": "allow", "target": "three.example"}
    for question in (
        refused,
        lambda: turned_away(lambda: server.api.get(f"{one}/networkpolicy")),
        lambda: turned_away(lambda: server.api.put(f"{one}/networkpolicy", json={"egress": [rule]})),
        lambda: turned_away(lambda: server.api.patch(f"{one}/networkpolicy", json=[rule])),
        lambda: turned_away(lambda: server.api.request("DELETE", f"{one}/networkpolicy", json=["three.example"])),
        # An endpoint of the policy without its token would look whole.
        lambda: turned_away(lambda: server.api.get(f"{one}/endpoints/18080")),
    ):
        body = keep_down(server, "guard", question)
        assert body["code"] == "SANDBOX::GUARD_UNAVAILABLE" and "guard" in body["message"]
    down = keep_down(server, "guard", lambda: (h := says(lambda: httpx.get(f"{server.gateway}/health").json())) and
                     h.get("down") == ["guard"] and h)
    assert down["status"] == "degraded"
    eventually(lambda: is_whole(server), what="the guard")
    # Nothing is left of what was refused, and all works again.
    assert set(server.ids()) == made
    assert server.api.post("/v1/sandboxes", json=server.body()).status_code == 202
    sandbox.close()


def test_the_end_of_the_supervisor_leaves_no_process_and_no_port_and_sandboxes_stay_guarded(own_server, world):
    server = own_server
    sandbox = server.create(network_policy=deny_but("one.example"))
    parts = [part(server, name) for name in PARTS]
    watched = inside(sandbox, "/etc/hostname")
    server.kill()
    eventually(lambda: all(is_gone(pid) for pid in parts), what="the end of its processes")
    for port in (server.port, server.gateway_port):
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/")
    assert watched()
    server.start()
    assert say(sandbox, "echo still") == "still"
    assert fetches(sandbox, "http://one.example/") and not resolves(sandbox, "two.example")
    assert not fetches(sandbox, f"http://{world.two}/")
    sandbox.close()


def test_a_server_that_is_asked_to_end_ends_gateway_server_and_guard_in_this_order(own_server):
    own_server.process.send_signal(signal.SIGTERM)
    assert own_server.process.wait(timeout=20) == 0
    ends = [line for line in own_server.log.read_text().splitlines() if "process ended" in line]
    order = [next(word for word in line.split() if word.startswith("part=")) for line in ends]
    assert order == ["part=gateway", "part=server", "part=guard"], ends
    assert all("end=exit code 0" in line for line in ends), ends


def test_the_supervisor_may_be_the_first_process_and_reaps_strangers(own_server):
    own_server.stop()
    own_server.process = own_server.launch(
        through=["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
                 # Its parent ends first: the first process is its parent then.
                 '(sh -c "sleep 0.2; exit 3" &) ; exec "$@"', "sh"])
    eventually(own_server._is_up, what="the server")
    eventually(lambda: is_whole(own_server), what="all parts")
    first = next(pid for pid in (int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit())
                 if words(pid)[1:2] == ["serve"] and status(pid)["NSpid"].split()[-1] == "1"
                 and str(own_server.config) in words(pid))
    children = f"/proc/{first}/task/{first}/children"
    eventually(lambda: all(words(int(child))[1:2] == ["process"] for child in pathlib.Path(children).read_text().split()),
               what="nothing but its own processes")
    os.kill(first, signal.SIGTERM)
    own_server.process.wait(timeout=20)


def test_all_of_it_runs_in_one_process_where_that_is_asked_for(own_server):
    own_server.stop()
    command = own_server.launch(through=["sh", "-c", 'exec "$@" --single-process', "sh"])
    own_server.process = command
    eventually(own_server._is_up, what="the server")
    assert not pathlib.Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
    sandbox = own_server.create(network_policy=deny_but("one.example"))
    assert say(sandbox, "echo in") == "in" and not resolves(sandbox, "two.example")
    sandbox.close()
    # What it has kept is found by the three.
    own_server.restart()
    assert part(own_server, "gateway") is not None
    assert say(sandbox, "echo again") == "again"


def test_the_guard_goes_by_its_name_and_by_its_old_one():
    for name in ("guard", "egress"):
        done = subprocess.run([BINARY, name, "--help"], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 and "Run the guard alone" in done.stdout
    listed = subprocess.run([BINARY, "--help"], capture_output=True, text=True, timeout=20).stdout
    assert "guard" in listed and "process " not in listed.split("SUBCOMMANDS")[1]
