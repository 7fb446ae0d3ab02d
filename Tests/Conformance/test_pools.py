"""Pools: sandboxes that are made ahead of their use (docs/pools.md), by the official SDK and plain HTTP."""

import concurrent.futures
import contextlib
import os
import pathlib
import re
import shutil
import signal

import httpx
import pytest
from opensandbox.models.sandboxes import SandboxImageAuth, SandboxImageSpec
from support.fixtures import KIND
from support.inside import exit_code, fetches, has_user_namespace, resolves, say
from support.leftovers import name_of
from support.registry import Registry
from support.server import IMAGE, AllInOneServer, deny_but
from support.waiting import eventually

LIMITS = {"cpu": "1", "memory": "256Mi"}


def template(**more):
    return {"spec": {"containers": [{"name": "sandbox", "image": IMAGE, "resources": {"limits": LIMITS}, **more}]}}


def capacity(waiting, most=100, least=0):
    return {"bufferMin": 0, "bufferMax": waiting, "poolMin": least, "poolMax": most}


@pytest.fixture(scope="module")
def pools(world, runtime_options):
    """A server with a pool of its configuration, `ready`."""
    waiting = f"""
[[local.pools]]
name = "ready"
image = "{IMAGE}"
cpu = "1"
memory = "256Mi"
waiting = "2"
most = "50"
"""
    options = runtime_options | {"tables": runtime_options.get("tables", "") + waiting}
    server = AllInOneServer(world, **options)
    try:
        yield server.start()
    finally:
        server.tear_down()


@pytest.fixture
def api(pools):
    with pools.api as client:
        yield client


@pytest.fixture
def made(api):
    """Makes pools that end with the test."""
    names = []

    def make(name, waiting, most=100, least=0, **more):
        answer = api.post("/v1/pools", json={
            "name": name, "template": template(**more), "capacitySpec": capacity(waiting, most, least)})
        assert answer.status_code == 201, answer.text
        names.append(name)
        return answer.json()

    yield make
    for name in names:
        api.delete(f"/v1/pools/{name}")


def status(api, name):
    answer = api.get(f"/v1/pools/{name}")
    assert answer.status_code == 200, answer.text
    return answer.json()["status"]


def until_waiting(api, name, count):
    eventually(lambda: status(api, name)["available"] == count, within=30, what=f"{count} that wait in {name}")


def take(pools, name, **more):
    return pools.create(extensions={"poolRef": name}, **more)


def create(api, pools, name, **more):
    body = pools.body(extensions={"poolRef": name}, image=None, entrypoint=None, resourceLimits=None) | more
    return api.post("/v1/sandboxes", json=body)


def test_a_sandbox_of_a_pool_is_what_a_cold_one_is(pools, api, world):
    until_waiting(api, "ready", 2)
    world.names.add("warm.example", world.two)
    world.names.add("other.example", world.two)
    policy = deny_but("warm.example")
    warm = take(pools, "ready", env={"ASKED": "yes"}, network_policy=policy, metadata={"team": "red"})
    cold = pools.create(env={"ASKED": "yes"}, network_policy=policy, metadata={"team": "red"})
    try:
        for sandbox in warm, cold:
            assert say(sandbox, "echo $ASKED $(id -u) $(cat /proc/1/comm)").split()[:2] == ["yes", "0"]
            assert has_user_namespace(sandbox)
            assert resolves(sandbox, "warm.example") and not resolves(sandbox, "other.example")
            assert fetches(sandbox, "http://warm.example/") and not fetches(sandbox, "http://other.example/")
        seen = [
            {key: say(sandbox, command) for key, command in {
                "capabilities": "grep Cap /proc/self/status", "filter": "grep Seccomp /proc/self/status",
                "limits": "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true",
                "mounts": "awk '{print $5, $6}' /proc/self/mountinfo | sort",
                "programs": "ps -eo comm= >/tmp/ps; grep -v ps /tmp/ps | sort | uniq -c",
            }.items()} for sandbox in (warm, cold)]
        assert seen[0] == seen[1]
        info = warm.get_info()
        assert info.metadata == {"team": "red"} and info.image.image == IMAGE
        answer = api.get(f"/v1/sandboxes/{warm.id}").json()
        assert answer["allocation"] == {"mode": "pool", "poolRef": "ready", "state": "allocated"}
        assert "allocation" not in api.get(f"/v1/sandboxes/{cold.id}").json()
    finally:
        for sandbox in warm, cold:
            sandbox.kill()


def waiting(pools):
    """The names of those that wait for a use."""
    return set(pools.leftovers.folders()) - {name_of(sandbox) for sandbox in pools.ids()}


def processes(names):
    """The processes of the sandboxes with these names."""
    found = []
    for folder, _, files in os.walk("/sys/fs/cgroup"):
        if "cgroup.procs" in files and any(f"/sallyport/{name}" in folder for name in names):
            found += [int(pid) for pid in open(f"{folder}/cgroup.procs").read().split()]
    return set(found)


def test_those_that_wait_are_in_no_list_and_run_no_program(pools, api):
    until_waiting(api, "ready", 2)
    names = waiting(pools)
    assert len(names) >= 2
    running = processes(names)
    assert running and {pathlib.Path(f"/proc/{pid}/comm").read_text().strip() for pid in running} <= {"execd", "exe"}
    for name in names:
        assert api.get(f"/v1/sandboxes/{name}").status_code == 404


def test_nobody_begins_one_that_waits_but_the_server(pools, api):
    until_waiting(api, "ready", 2)
    for name in waiting(pools):
        hosts = (pools.state / "sandboxes" / name / "disk/upper/etc/hosts").read_text()
        execd = f"http://{hosts.splitlines()[-1].split()[0]}:44772"
        told = {"sandboxId": "mine", "generation": 1, "entrypoint": ["sh"]}
        for headers in {}, {"X-EXECD-ACCESS-TOKEN": "guess"}:
            assert httpx.post(f"{execd}/internal/init", json=told, headers=headers).status_code == 401
        assert httpx.post(f"{execd}/command", json={"command": "id"}).status_code == 503
        assert httpx.get(f"{execd}/ready").json()["initialized"] is False
    answer = create(api, pools, "ready")
    assert answer.status_code == 202
    api.delete(f"/v1/sandboxes/{answer.json()['id']}")


@pytest.mark.parametrize("name", ["HOME", "JUPYTER_HOST", "BOOTSTRAP_CMD"])
def test_variables_that_execd_reads_at_its_start_work_in_a_pool_too(pools, api, name):
    until_waiting(api, "ready", 2)
    value = {"HOME": "/tmp", "BOOTSTRAP_CMD": "exec sleep 1000"}.get(name, "http://127.0.0.1:1")
    sandbox = take(pools, "ready", env={name: value})
    try:
        if name == "HOME":
            assert say(sandbox, "echo $HOME") == "/tmp"
            sandbox.files.write_file("~/here", "x")
            assert say(sandbox, "cat /tmp/here") == "x"
    finally:
        sandbox.kill()


def test_a_request_needs_nothing_but_its_pool(pools, api):
    until_waiting(api, "ready", 2)
    answer = create(api, pools, "ready")
    assert answer.status_code == 202, answer.text
    sandbox = answer.json()
    assert sandbox["status"]["state"] == "Running" and sandbox["entrypoint"] == ["tail", "-f", "/dev/null"]
    assert api.delete(f"/v1/sandboxes/{sandbox['id']}").status_code == 204


def test_the_program_of_the_request_runs_with_its_variables(pools, api):
    until_waiting(api, "ready", 2)
    sandbox = take(pools, "ready", entrypoint=["sh", "-c", "echo begun $WHO > /tmp/begun; exec sleep 1000"], env={"WHO": "me"})
    try:
        eventually(lambda: exit_code(sandbox, "test -s /tmp/begun") == 0)
        assert say(sandbox, "cat /tmp/begun") == "begun me"
        assert say(sandbox, "tr '\\0' ' ' < /proc/$(pgrep -x sleep)/cmdline") == "sleep 1000 "
    finally:
        sandbox.kill()


def test_a_program_that_cannot_be_started_is_told_as_it_is_without_a_pool(pools, api):
    until_waiting(api, "ready", 2)
    warm = create(api, pools, "ready", entrypoint=["/no/such/program"])
    cold = api.post("/v1/sandboxes", json=pools.body(entrypoint=["/no/such/program"]))
    assert warm.status_code == cold.status_code >= 400
    texts = [re.sub(r"[0-9a-f]{8}-[-0-9a-f]+", "ID", answer.text) for answer in (warm, cold)]
    assert texts[0] == texts[1]
    assert "/no/such/program" in cold.json()["message"]
    eventually(lambda: status(api, "ready")["allocated"] == 0)


def test_nothing_is_handed_out_twice(pools, api, made):
    made("crowd", 6)
    until_waiting(api, "crowd", 6)
    with concurrent.futures.ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda _: create(api, pools, "crowd"), range(12)))
    assert [answer.status_code for answer in answers] == [202] * 12, [answer.text for answer in answers]
    ids = [answer.json()["id"] for answer in answers]
    assert len(set(ids)) == 12
    assert status(api, "crowd")["allocated"] == 12
    for sandbox in ids:
        assert api.delete(f"/v1/sandboxes/{sandbox}").status_code == 204
    # What was used does not come back.
    until_waiting(api, "crowd", 6)
    assert status(api, "crowd")["allocated"] == 0
    answer = create(api, pools, "crowd")
    assert answer.json()["id"] not in ids
    api.delete(f"/v1/sandboxes/{answer.json()['id']}")


def test_a_full_pool_says_so_and_has_room_again(pools, api, made):
    made("small", 1, most=2)
    until_waiting(api, "small", 1)
    ids = [create(api, pools, "small").json()["id"] for _ in range(2)]
    full = create(api, pools, "small")
    assert full.status_code == 429 and full.json()["code"] == "KUBERNETES::POOL_CAPACITY_EXHAUSTED"
    assert int(full.headers["retry-after"]) >= 1
    assert api.delete(f"/v1/sandboxes/{ids[0]}").status_code == 204
    again = create(api, pools, "small")
    assert again.status_code == 202, again.text
    for sandbox in [ids[1], again.json()["id"]]:
        api.delete(f"/v1/sandboxes/{sandbox}")


def test_a_pool_grows_and_shrinks_as_it_is_told(pools, api, made):
    revision = made("size", 1)["status"]["revision"]
    until_waiting(api, "size", 1)
    for waiting in 3, 0:
        changed = api.put("/v1/pools/size", json={"capacitySpec": capacity(waiting)})
        assert changed.status_code == 200 and changed.json()["capacitySpec"] == capacity(waiting)
        until_waiting(api, "size", waiting)
    assert status(api, "size")["revision"] == revision


def test_a_deleted_pool_leaves_what_is_in_use(pools, api, made):
    made("gone", 2)
    until_waiting(api, "gone", 2)
    sandbox = take(pools, "gone")
    try:
        assert api.delete("/v1/pools/gone").status_code == 204
        assert api.get("/v1/pools/gone").status_code == 404
        assert api.delete("/v1/pools/gone").status_code == 404
        assert say(sandbox, "echo alive") == "alive"
        refused = create(api, pools, "gone")
        assert refused.status_code == 404 and refused.json()["code"] == "KUBERNETES::POOL_NOT_FOUND"
    finally:
        sandbox.kill()


def test_one_that_dies_while_it_waits_is_replaced(pools, api, made):
    made("mortal", 1)
    until_waiting(api, "mortal", 1)
    until_waiting(api, "ready", 2)
    before = waiting(pools)
    for pid in processes(before):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not before & set(pools.leftovers.folders()), within=30, what="their removal")
    for name, count in ("mortal", 1), ("ready", 2):
        until_waiting(api, name, count)
    answer = create(api, pools, "mortal")
    assert answer.status_code == 202
    api.delete(f"/v1/sandboxes/{answer.json()['id']}")


def build(folder, version):
    """An image of this machine that says which one it is, in the place of an earlier one."""
    work = folder.with_suffix(".tmp")
    for path in "bin", "proc", "sys", "dev", "run", "tmp", "etc", "workspace", "opt/opensandbox":
        (work / path).mkdir(parents=True)
    shutil.copy("/bin/busybox", work / "bin/busybox")
    (work / "bin/sh").symlink_to("busybox")
    (work / "version").write_text(version)
    shutil.rmtree(folder, ignore_errors=True)
    work.rename(folder)


def test_what_waits_is_made_anew_when_its_image_is_built_anew(world, tmp_path):
    folder = tmp_path / "image"
    build(folder, "1")
    program = ["/bin/busybox", "sleep", "100000"]
    server = AllInOneServer(world, local={"code_image": f'"{folder}"'})
    try:
        server.start()
        with server.api as api:
            image = "sallyport/code:latest"
            api.post("/v1/pools", json={
                "name": "built", "template": template(image=image, command=program), "capacitySpec": capacity(2)})
            until_waiting(api, "built", 2)
            before = set(server.leftovers.folders())
            used = take(server, "built", image=image, entrypoint=program)
            assert say(used, "/bin/busybox cat /version") == "1"
            build(folder, "2")
            new = take(server, "built", image=image, entrypoint=program)
            assert say(new, "/bin/busybox cat /version") == "2", "at once"
            until_waiting(api, "built", 2)
            eventually(lambda: before & set(server.leftovers.folders()) == {name_of(used.id)}, what="the end of the old ones")
            after = set(server.leftovers.folders())
            waited = take(server, "built", image=image, entrypoint=program)
            assert name_of(waited.id) in after and say(waited, "/bin/busybox cat /version") == "2", "and one that waited"
            assert say(used, "/bin/busybox echo there") == "there"
    finally:
        server.tear_down()


@pytest.mark.skipif(KIND == "local", reason="what was fetched for everybody stays what it was")
def test_what_waits_is_made_anew_when_its_image_is_pulled_anew(pools, api, made):
    registry = Registry(is_open=True)
    try:
        image = registry.push("moving:1", "--config.env", "VERSION=1")
        program = ["/bin/busybox", "sleep", "100000"]
        made("moving", 1, image=image, command=program)
        until_waiting(api, "moving", 1)
        registry.push("moving:1", "--config.env", "VERSION=2")
        # Who has a password asks the registry, which names another image now, and with it the engine.
        asked = SandboxImageSpec(image, auth=SandboxImageAuth(username="any", password="any"))
        other = pools.create(image=asked, entrypoint=program)
        sandboxes = [other]
        try:
            assert say(other, "echo $VERSION") == "2"
            sandboxes.append(take(pools, "moving", image=image, entrypoint=program))
            assert say(sandboxes[-1], "echo $VERSION") == "2", "at once"
            until_waiting(api, "moving", 1)
            sandboxes.append(take(pools, "moving", image=image, entrypoint=program))
            assert say(sandboxes[-1], "echo $VERSION") == "2", "and one that waited"
        finally:
            for sandbox in sandboxes:
                sandbox.kill()
    finally:
        registry.close()


@pytest.mark.parametrize("change, word", {
    "image": ({"image": {"uri": "other/image:latest"}}, "image"),
    "limits": ({"resourceLimits": {"cpu": "2"}}, "resourceLimits"),
    "platform": ({"platform": {"os": "linux", "arch": "amd64"}}, "platform"),
    "credentials": ({"image": {"uri": IMAGE, "auth": {"username": "u", "password": "p"}}}, "image.auth"),
    "isolation": ({"extensions": {"poolRef": "ready", "bootstrap.execd.isolation": "enable"}}, "isolation"),
}.values(), ids=str)
def test_what_a_pool_does_not_have_is_refused(pools, api, change, word):
    answer = create(api, pools, "ready", **change)
    assert answer.status_code == 400 and word in answer.json()["message"], answer.text


@pytest.mark.parametrize("body, where", [
    ({}, "body.name"), ({"name": "Bad_Name"}, "body.name"), ({"name": "x" * 254}, "body.name"),
    ({"template": {"spec": {}}}, "containers"), ({"template": template(volumeMounts=[])}, "volumeMounts"),
    ({"template": {"spec": {"containers": [{"image": IMAGE}], "hostNetwork": True}}}, "hostNetwork"),
    ({"template": template(env=[{"name": "A", "valueFrom": {}}])}, "valueFrom"),
    ({"capacitySpec": {"bufferMax": -1}}, "bufferMax"), ({"capacitySpec": capacity(10**30)}, "bufferMax"),
    ({"capacitySpec": {"bufferMin": 2, "bufferMax": 1, "poolMin": 0, "poolMax": 5}}, "bufferMin"),
])
def test_a_pool_that_cannot_be_is_refused_with_the_field(api, body, where):
    whole = {"name": "bad", "template": template(), "capacitySpec": capacity(1)}
    answer = api.post("/v1/pools", json=whole | body if body else {})
    assert answer.status_code == 422 and where in answer.json()["message"], answer.text
    assert api.get("/v1/pools/bad").status_code == 404


def test_pools_are_listed_and_those_of_the_configuration_are_not_changed(pools, api, made):
    made("listed", 0)
    again = api.post("/v1/pools", json={"name": "listed", "template": template(), "capacitySpec": capacity(0)})
    assert again.status_code == 409 and again.json()["code"] == "KUBERNETES::POOL_ALREADY_EXISTS"
    names = [pool["name"] for pool in api.get("/v1/pools").json()["items"]]
    assert names == sorted(names) and {"listed", "ready"} <= set(names)
    for answer in api.delete("/v1/pools/ready"), api.put("/v1/pools/ready", json={"capacitySpec": capacity(9)}):
        assert answer.status_code == 409 and "configuration" in answer.json()["message"]
    assert httpx.get(f"{api.base_url}/v1/pools").status_code == 401


def test_a_pool_outlives_its_server_and_what_waited_does_not(world):
    server = AllInOneServer(world)
    try:
        server.start()
        with server.api as api:
            body = {"name": "kept", "template": template(), "capacitySpec": capacity(2)}
            assert api.post("/v1/pools", json=body).status_code == 201
            until_waiting(api, "kept", 2)
            used = create(api, server, "kept").json()["id"]
            until_waiting(api, "kept", 2)
        before = set(server.leftovers.folders())
        server.kill()
        server.start()
        with server.api as api:
            until_waiting(api, "kept", 2)
            after = set(server.leftovers.folders())
            assert len(before & after) == 1, "the one in use"
            assert status(api, "kept")["allocated"] == 1
            assert api.get(f"/v1/sandboxes/{used}").json()["status"]["state"] == "Running"
        server.stop()
        assert len(server.leftovers.folders()) == 1, "a server that ends takes along what waits"
    finally:
        server.tear_down()
