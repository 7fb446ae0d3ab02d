"""Sandboxes under gVisor as containers of an engine, and an engine's refusal of devices that it has not."""

import json
import shutil

import pytest
from plain_engine import PlainEngine
from support.inside import fetches, say
from support.server import AllInOneServer, deny_but

needs_runsc = pytest.mark.skipif(shutil.which("runsc") is None, reason="Debian's package runsc is not installed")
ARGUMENTS = ["--network=host", "--platform=ptrace"]


@pytest.fixture(scope="module")
def secure_engine(tmp_path_factory):
    """With a runtime that leaves the network to the guard, and one that has its own."""
    folder = tmp_path_factory.mktemp("gvisor")
    file = folder / "daemon.json"
    file.write_text(json.dumps({"runtimes": {
        name: {"path": shutil.which("runsc") or "/usr/bin/runsc", "runtimeArgs": arguments}
        for name, arguments in (("runsc", ARGUMENTS), ("alone", ARGUMENTS[1:]))}}))
    engine = PlainEngine(folder, "--config-file", str(file))
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


def test_graphics_processors_that_the_machine_has_not_are_refused_and_nothing_is_left(world, secure_engine):
    server = AllInOneServer(world, tables=secure_engine.tables)
    try:
        server.start()
        before = secure_engine.inventory()["containers"]
        for gpu in ("1", "all"):
            answer = server.api.post("/v1/sandboxes", json=server.body(resourceLimits={"gpu": gpu}))
            assert (answer.status_code, answer.json()["code"]) == (400, "DOCKER::SANDBOX_START_FAILED"), answer.text
            assert "gpu" in answer.json()["message"]
        assert secure_engine.inventory()["containers"] == before
    finally:
        server.tear_down()
