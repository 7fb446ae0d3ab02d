"""What engines have and others have not: gVisor, graphics processors, limits of disks."""

import json
import shutil

import pytest
from engine import GVISOR, own_disk, runtimes
from plain_engine import PlainEngine
from support.inside import fetches, say
from support.server import IMAGE, AllInOneServer, deny_but

needs_runsc = pytest.mark.skipif(shutil.which("runsc") is None, reason="Debian's package runsc is not installed")


@pytest.fixture(scope="module")
def secure_engine(tmp_path_factory):
    """With a runtime that leaves the network to the guard, and one that has its own; on btrfs where that can be mounted."""
    folder = tmp_path_factory.mktemp("gvisor")
    obstacle = own_disk(folder, "mkfs.btrfs", "-q")
    engine = PlainEngine(folder, "--config-file", runtimes(folder, runsc=GVISOR, alone=GVISOR[1:]))
    engine.obstacle = obstacle
    try:
        yield engine.prepare()
    finally:
        engine.close()


@pytest.fixture(scope="module")
def server(world, secure_engine):
    server = AllInOneServer(world, tables=secure_engine.tables + '[secure_runtime]\ntype = "gvisor"\n')
    try:
        yield server.start()
    finally:
        server.tear_down()


@needs_runsc
def test_a_container_under_gvisor_is_guarded_from_the_start(server, create, world, secure_engine):
    sandbox = create(network_policy=deny_but("one.example"))
    assert "gVisor" in say(sandbox, "dmesg")
    assert json.loads(secure_engine.run("inspect", f"sandbox-{sandbox.id}").stdout)[0]["HostConfig"]["Runtime"] == "runsc"
    assert fetches(sandbox, "http://one.example/") and not fetches(sandbox, f"http://{world.two}/")
    assert not fetches(sandbox, "http://two.example/")


@pytest.mark.parametrize("name, word", [("alone", "--network=host"), ("nobody", "only ")])
def test_a_runtime_that_is_not_there_or_would_pass_the_guard_is_refused_by_name(world, secure_engine, name, word):
    server = AllInOneServer(
        world, tables=secure_engine.tables + f'[secure_runtime]\ntype = "gvisor"\ndocker_runtime = "{name}"\n')
    try:
        answer = server.start().api.post("/v1/sandboxes", json=server.body())
        assert answer.status_code == 500 and word in answer.json()["message"] and name in answer.json()["message"], answer.text
    finally:
        server.tear_down()


@pytest.fixture(scope="module")
def plain(world, secure_engine):
    """A server whose sandboxes have the engine's own runtime."""
    server = AllInOneServer(world, tables=secure_engine.tables)
    try:
        yield server.start()
    finally:
        server.tear_down()


def refusal(engine, server, limits):
    """The answer to a create that leaves nothing in the engine."""
    before = engine.inventory()["containers"]
    answer = server.api.post("/v1/sandboxes", json=server.body(resourceLimits=limits))
    assert engine.inventory()["containers"] == before
    return answer.status_code, answer.json()["code"], answer.json()["message"]


@pytest.mark.parametrize("gpu", ["1", "all"])
def test_graphics_processors_that_the_machine_has_not_are_refused_and_nothing_is_left(plain, secure_engine, gpu):
    status, code, message = refusal(secure_engine, plain, {"gpu": gpu})
    assert (status, code) == (400, "DOCKER::SANDBOX_START_FAILED") and "gpu" in message


def test_a_disk_has_its_limit_where_the_engines_storage_driver_can(plain, secure_engine):
    if secure_engine.obstacle:
        pytest.skip(f"no file system here counts what a container has: {secure_engine.obstacle}")
    # The image counts, too.
    size = int(secure_engine.run("image", "inspect", "--format", "{{.Size}}", IMAGE).stdout) >> 20
    write = "dd if=/dev/zero of=/big bs=1M count=200 2>&1 | grep -c 'quota exceeded'; du -m /big | cut -f1"
    limited = plain.create(resource={"cpu": "1", "memory": "256Mi", "disk": f"{size + 100}Mi"})
    refused, written = say(limited, write).split()
    assert refused == "1" and 20 < int(written) < 110, f"{written} MiB"
    assert say(plain.create(), write).split() == ["0", "200"]
    status, code, message = refusal(secure_engine, plain, {"disk": "16Mi"})
    assert (status, code) == (400, "DOCKER::SANDBOX_START_FAILED"), message
