"""What happens to containers behind the server's back, and to creates that the engine's end cuts short."""

import concurrent.futures
import contextlib
import os
import shutil
import subprocess

import httpx
import pytest
from plain_server import body, engine, plain_engine, reaches, server  # noqa: F401
from support.server import IMAGE, AllInOneServer, deny_but
from support.waiting import eventually


def state(server, sandbox):
    return server.api.get(f"/v1/sandboxes/{sandbox.id}").json()["status"]["state"]


def test_a_container_that_is_started_again_while_no_server_runs_is_none_that_runs(engine, create, server):
    again, untouched = create(), create()
    server.stop()
    engine.run("restart", "--time", "0", f"sandbox-{again.id}")
    server.start()
    eventually(lambda: state(server, again) == "Failed", what="the truth")
    assert state(server, untouched) == "Running"


def test_a_volume_that_a_container_of_somebodys_keeps_holds_nothing_else_up(engine, create, server):
    sandbox = create()
    engine.start("keeper", "--network", "none", "--volumes-from", f"sandbox-{sandbox.id}", image=IMAGE)
    try:
        assert server.api.delete(f"/v1/sandboxes/{sandbox.id}").status_code == 204
        assert f"sandbox-{sandbox.id}" not in engine.run("ps", "--all", "--format", "{{.Names}}").stdout
        assert sandbox.id in engine.run("volume", "ls", "--quiet").stdout
    finally:
        engine.remove_all()
    # The fixture looks for the volume, too.
    eventually(lambda: sandbox.id not in engine.run("volume", "ls", "--quiet").stdout, what="the end of the volume")


def test_creates_that_the_engines_end_cuts_short_leave_nothing(engine, server):
    def make():
        try:
            return server.api.post("/v1/sandboxes", json=body()).status_code
        except httpx.HTTPError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        creates = [pool.submit(make) for _ in range(50)]
        eventually(lambda: engine.run("ps", "--all", "--quiet", check=False).stdout, what="the first container")
        engine.kill_daemon()
        outcomes = [create.result() for create in creates]
    engine.start_daemon()
    assert any(outcome != 202 for outcome in outcomes), outcomes
    for sandbox in server.ids():
        server.api.delete(f"/v1/sandboxes/{sandbox}")


@pytest.fixture
def full(plain_engine):
    """The engine's disk, which has no room for a byte."""
    data = plain_engine.folder / "data"
    if not os.path.ismount(data):
        pytest.skip("the engine has no disk of its own here")
    ballast = data / "ballast"
    try:
        with open(ballast, "wb") as file:
            space = os.statvfs(data)
            # The file system takes some of it to note where the file lies.
            for left in (64, 1 << 12, 1 << 16):
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), 0, (space.f_bfree - left) * space.f_frsize)
                    break
            file.seek(0, os.SEEK_END)
            with contextlib.suppress(OSError):
                while file.write(bytes(1 << 16)):
                    file.flush()
        yield ballast
    finally:
        ballast.unlink(missing_ok=True)


def test_a_full_disk_of_the_engine_is_told_and_leaves_nothing(engine, create, server, full):
    answer = server.api.post("/v1/sandboxes", json=body())
    assert (answer.status_code, answer.json()["code"]) == (429, "SANDBOX::CAPACITY_EXHAUSTED"), answer.text
    assert "no space left on device" in answer.json()["message"]
    assert server.ids() == []
    full.unlink()
    create()


def test_after_a_restart_of_the_machine_sandboxes_have_ended_and_others_are_made(engine, create, server):
    """Containers are there and run no more; links, rules and what was in memory are gone."""
    sandbox = create(network_policy=deny_but("one.example"))
    server.stop()
    engine.run("kill", f"sandbox-{sandbox.id}")
    for place in server.leftovers.mounts():
        subprocess.run(["umount", "--lazy", place], check=True)
    shutil.rmtree(server.folder / "run")
    subprocess.run(["nft", "delete", "table", "inet", f"sallyport_{server.tag}"], check=True)
    server.start()
    eventually(lambda: state(server, sandbox) == "Failed", what="the truth")
    assert server.api.delete(f"/v1/sandboxes/{sandbox.id}").status_code == 204
    another = create(network_policy=deny_but("one.example"))
    assert reaches(another, "http://one.example/") and not reaches(another, "http://two.example/")


def test_a_volume_whose_labels_an_engine_has_lost_goes_with_its_sandbox(engine, create, server):
    # As an engine leaves it that is killed between the volume and its labels.
    sandbox = create()
    name = f"opensandbox-runtime-{sandbox.id}"
    server.stop()
    engine.run("rm", "--force", f"sandbox-{sandbox.id}")
    engine.run("volume", "rm", "--force", name)
    engine.run("volume", "create", name)
    server.start()
    assert server.api.delete(f"/v1/sandboxes/{sandbox.id}").status_code == 204
    assert name not in engine.run("volume", "ls", "--quiet").stdout


@pytest.fixture
def small(world, plain_engine):
    """A server with thirteen addresses."""
    server = AllInOneServer(world, prefix=28, tables=plain_engine.tables)
    try:
        yield server.start()
    finally:
        server.tear_down()


def test_addresses_of_containers_that_went_while_no_server_ran_are_free_again(engine, small):
    def make():
        return [small.api.post("/v1/sandboxes", json=body()) for _ in range(7)]

    made = make()
    assert [answer.status_code for answer in made] == [202] * 7, [answer.text for answer in made]
    small.stop()
    engine.run("rm", "--force", *(f"sandbox-{answer.json()['id']}" for answer in made))
    small.start()
    for answer in made:
        assert small.api.delete(f"/v1/sandboxes/{answer.json()['id']}").status_code == 204
    again = make()
    assert [answer.status_code for answer in again] == [202] * 7, [answer.text for answer in again]
