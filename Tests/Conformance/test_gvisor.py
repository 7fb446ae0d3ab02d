"""Sandboxes under gVisor: the real runsc, guarded as all others are (docs/isolation.md#gvisor)."""

import shutil
import subprocess

import pytest
from opensandbox.models.sandboxes import PVC, NetworkRule, Volume
from support.inside import ECHO_SERVER, exit_code, fetches, resolves, say, start_server
from support.leftovers import control_groups, name_of
from support.server import BINARY, IMAGE, AllInOneServer, complaint, deny_but
from support.waiting import eventually
from test_contract import refused

RUNSC = shutil.which("runsc")
needs_runsc = pytest.mark.skipif(RUNSC is None, reason="Debian's package runsc is not installed")


@pytest.fixture(scope="module")
def secure(world):
    # What takes neither virtualisation nor a call that a container may not have.
    server = AllInOneServer(world, tables='[secure_runtime]\ntype = "gvisor"\nplatform = "ptrace"\n')
    try:
        yield server.start()
        for name in ("kept", "given"):
            subprocess.run([BINARY, "volume", "remove", name, "--config", str(server.config)], capture_output=True)
    finally:
        server.tear_down()


@pytest.fixture
def make(secure):
    made = []

    def make(**more):
        made.append(secure.create(**more))
        return made[-1]

    yield make
    for sandbox in made:
        secure.api.delete(f"/v1/sandboxes/{sandbox.id}")
        sandbox.close()


@needs_runsc
def test_commands_files_and_the_first_process_are_gvisors(secure, make):
    sandbox = make()
    assert "gVisor" in say(sandbox, "dmesg")
    assert "execd" in say(sandbox, "tr '\\0' ' ' < /proc/1/cmdline")
    assert exit_code(sandbox, "exit 7") == 7
    sandbox.files.write_file("/tmp/there", "written")
    assert say(sandbox, "cat /tmp/there; echo back > /tmp/back") == "written"
    assert sandbox.files.read_file("/tmp/back") == "back\n"
    say(sandbox, "mkdir -p /tmp/folder/deep; touch /tmp/folder/deep/file")
    sandbox.files.delete_directories(["/tmp/folder"])
    assert exit_code(sandbox, "test -e /tmp/folder") == 1
    inspect = secure.api.get(f"/v1/sandboxes/{sandbox.id}/diagnostics/inspect").text
    assert "gVisor" in inspect


@needs_runsc
def test_the_policy_holds_and_so_does_its_change(make, world):
    sandbox = make(network_policy=deny_but("one.example"))
    assert resolves(sandbox, "one.example") and not resolves(sandbox, "two.example")
    assert fetches(sandbox, "http://one.example/")
    for address in (world.two, f"[{world.two_v6}]"):
        assert not fetches(sandbox, f"http://{address}/")
    for server in ("127.0.0.1", world.one):
        assert exit_code(sandbox, f"getent ahosts two.example; dig +time=1 +tries=1 @{server} two.example | grep -q NOERROR") != 0
    sandbox.patch_egress_rules([NetworkRule(action="allow", target="two.example")])
    assert fetches(sandbox, "http://two.example/")
    free = make()
    assert fetches(free, f"http://{world.two}/")


@needs_runsc
def test_its_ports_are_reached_through_the_gateway(make):
    import httpx

    sandbox = make()
    start_server(sandbox, ECHO_SERVER)
    endpoint = sandbox.get_endpoint(8000)
    answer = httpx.get(f"http://{endpoint.endpoint}/there", headers=endpoint.headers)
    assert answer.status_code == 200 and answer.json()["target"] == "/there"


def frozen(groups):
    """Whether the kernel says that every process of these groups stands still; for version 1 and version 2."""
    words = [file.read_text() for group in groups for name in ("freezer.state", "cgroup.events") for file in group.glob(name)]
    return any("FROZEN" in text or "frozen 1" in text for text in words)


@needs_runsc
def test_a_pause_stops_it_and_a_resume_lets_it_go_on(secure, make):
    sandbox = make()
    say(sandbox, "(while :; do date +%s%N > /tmp/now; sleep 0.02; done) >/dev/null 2>&1 & sleep 0.2")
    api = secure.api
    groups = [group for group in control_groups() if group.name == name_of(sandbox.id)]
    held = {pid for group in groups for file in group.rglob("cgroup.procs") for pid in file.read_text().split()}
    assert held, "gVisor's processes are in the sandbox's group, whose limits they have"
    assert api.post(f"/v1/sandboxes/{sandbox.id}/pause").status_code == 202
    eventually(lambda: api.get(f"/v1/sandboxes/{sandbox.id}").json()["status"]["state"] == "Paused")
    assert frozen(groups), "the processes stand still"
    assert api.post(f"/v1/sandboxes/{sandbox.id}/resume").status_code == 202
    eventually(lambda: api.get(f"/v1/sandboxes/{sandbox.id}").json()["status"]["state"] == "Running")
    assert not frozen(groups)
    before = say(sandbox, "cat /tmp/now")
    eventually(lambda: say(sandbox, "cat /tmp/now") != before, what="the loop")


@needs_runsc
def test_a_snapshot_is_501_since_gvisor_holds_what_is_written(secure, make):
    answer = secure.api.post(f"/v1/sandboxes/{make().id}/snapshots", json={})
    refused(answer, 501, "SNAPSHOT::UNSUPPORTED_RUNTIME")


@needs_runsc
def test_volumes_and_pools_are_as_without_it(secure, make):
    volumes = [Volume(name="kept", pvc=PVC(claim_name="kept"), mount_path="/kept"),
               Volume(name="read", pvc=PVC(claim_name="kept"), mount_path="/read", read_only=True)]
    first = make(volumes=volumes)
    say(first, "echo there > /kept/file")
    assert say(first, "cat /read/file") == "there" and exit_code(first, "touch /read/other") != 0
    assert say(make(volumes=volumes[:1]), "cat /kept/file") == "there"
    api = secure.api
    template = {"spec": {"containers": [{"name": "sandbox", "image": IMAGE, "resources": {"limits": {"cpu": "1", "memory": "256Mi"}}}]}}
    answer = api.post("/v1/pools", json={"name": "given", "template": template, "capacitySpec": {
        "bufferMin": 0, "bufferMax": 1, "poolMin": 0, "poolMax": 2}})
    assert answer.status_code == 201, answer.text
    try:
        eventually(lambda: api.get("/v1/pools/given").json()["status"]["available"] == 1, what="the one that waits")
        sandbox = make(extensions={"poolRef": "given"}, network_policy=deny_but("one.example"))
        assert fetches(sandbox, "http://one.example/") and not resolves(sandbox, "two.example")
    finally:
        assert api.delete("/v1/pools/given").status_code == 204


@needs_runsc
def test_its_end_is_told_and_a_server_that_was_killed_finds_it_again(secure, make):
    sandbox = make()
    secure.kill()
    secure.start()
    assert say(sandbox, "echo there") == "there"
    ends = make(entrypoint=["sh", "-c", "sleep 3; exit 5"])
    status = eventually(
        lambda: (s := secure.api.get(f"/v1/sandboxes/{ends.id}").json()["status"])["state"] == "Failed" and s)
    assert "5" in status["message"], status


@pytest.mark.parametrize(("table", "words"), [
    ('type = "kata"', ["kata", "gvisor"]), ('type = "firecracker"', ["firecracker", "gvisor"]), ('type = "x"', ["secure_runtime.type"]),
    ('type = "gvisor"\npath = "/nowhere/runsc"', ["/nowhere/runsc"]), ('platform = "p --x"', ["secure_runtime.platform"]),
    ('runsc = "x"', ["secure_runtime.runsc"]),
])
def test_what_is_not_there_is_refused_at_the_start(world, table, words):
    server = AllInOneServer(world, tables=f"[secure_runtime]\n{table}\n")
    try:
        done = subprocess.run([BINARY, "serve", "--config", str(server.config)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60)
        assert done.returncode != 0
        said = complaint(done.stderr) or done.stderr
        for word in words:
            assert word in said, said
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)
