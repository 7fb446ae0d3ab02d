"""Sandboxes as containers of a Docker engine, by the official client. The guard is the machine's."""

import json
import os
import re
import secrets
import shutil

import httpx
import pytest
from opensandbox import SandboxSync
from opensandbox.models.sandboxes import NetworkRule
from plain_server import body, container, engine, plain_engine, reaches, run, server  # noqa: F401
from support.collector import Collector, ancestors
from support.object_storage import KEYS, bucket, object_storage
from support.server import IMAGE, SLEEP, AllInOneServer, deny_but
from support.waiting import eventually

CODE = "DOCKER::SANDBOX_START_FAILED"
TABLES = """
[otel]
enabled = true
endpoint = "{collector.endpoint}"
traces = true
traces_ratio = 0
[storage]
bucket_endpoints = ["{storage}"]
ossfs_mount_root = "{folder}/buckets"
"""


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def storage():
    with object_storage() as place:
        yield place


def test_the_steps_of_a_create_are_parts_of_its_trace_and_are_counted(engine, server, collector):
    trace, root = secrets.token_hex(16), "1" * 16
    policy = {"defaultAction": "deny", "egress": [{"action": "allow", "target": "one.example"}]}
    made = server.api.post(
        "/v1/sandboxes", json=body(networkPolicy=policy), headers={"traceparent": f"00-{trace}-{root}-01"})
    assert made.status_code == 202, made.text
    server.api.delete(f"/v1/sandboxes/{made.json()['id']}")
    steps = ["image", "prepare", "protect", "start"]
    parts = [f"create.{step}" for step in steps]
    inner = {"create.reach": "create.start", "execd POST /internal/init": "create.start", "guard PUT": "create.protect"}

    def spans():
        named = {span["name"]: span for span in collector.spans(trace)}
        return named if {*parts, *inner, "create", "POST /v1/sandboxes"} <= set(named) else None

    named = eventually(spans, what="the spans")
    for name in parts:
        assert ancestors(named[name], named.values()) == (["create", "POST /v1/sandboxes"], root)
    for name, part in inner.items():
        assert ancestors(named[name], named.values())[0][0] == part
    begun = [int(named[name]["startTimeUnixNano"]) for name in parts]
    assert begun == sorted(begun)
    text = server.api.get("/metrics").text
    assert all(f'sallyport_create_step_seconds_count{{step="{step}"}}' in text for step in steps), text


def test_a_sandbox_runs_commands_and_keeps_files(engine, create):
    sandbox = create(env={"COLOUR": "blue", "OPENSANDBOX_ID": "another"}, metadata={"team": "red"})
    assert run(sandbox, "echo $COLOUR $OPENSANDBOX_ID") == f"blue {sandbox.id}"
    sandbox.files.write_file("/tmp/a.txt", "kept")
    assert sandbox.files.read_file("/tmp/a.txt") == "kept"
    assert sandbox.get_info().metadata == {"team": "red"}
    run(sandbox, "for each in $(seq 200); do (true &); done")
    zombies = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l"
    eventually(lambda: run(sandbox, zombies) == "0", what="the first process, which is every orphan's parent")


def test_a_container_has_what_the_request_and_the_contract_say(engine, create):
    sandbox = create(env={"SECRET": "swordfish", "EXECD_BOOTSTRAP_PRE_SCRIPT": "/nowhere"}, metadata={"team": "red"}, resource={"cpu": "500m", "memory": "256Mi"},
                     extensions={"opensandbox.extensions.note": "of mine"})
    text = engine.run("inspect", f"sandbox-{sandbox.id}").stdout
    assert "swordfish" not in text, "a request's variables are told to execd alone"
    found = json.loads(text)[0]
    assert "EXECD_BOOTSTRAP_PRE_SCRIPT" not in text, "nor is what execd reads at its start, which runs no script: this is one"
    assert found["Config"]["Healthcheck"]["Test"] == ["NONE"], "so would this"
    labels, host = found["Config"]["Labels"], found["HostConfig"]
    assert labels["opensandbox.io/id"] == sandbox.id and labels["team"] == "red"
    assert labels["opensandbox.io/extensions.note"] == "of mine" and "opensandbox.io/expires-at" not in labels, "ends are moved"
    assert host["NanoCpus"] == 500_000_000
    assert (host["Memory"], host["MemorySwap"]) == (256 << 20, 256 << 20)
    assert host["PidsLimit"] == 4096 and host["NetworkMode"] == "none" and not host["Privileged"]
    assert {"NET_ADMIN", "NET_RAW", "SYS_ADMIN"} <= set(host["CapDrop"])
    assert "no-new-privileges=true" in host["SecurityOpt"]


def test_a_container_gets_no_right_for_isolated_sessions_and_says_that_it_has_none(engine, create):
    sandbox = create(extensions={"bootstrap.execd.isolation": "enable"})
    host = container(engine, sandbox)["HostConfig"]
    assert not host["CapAdd"] and "SYS_ADMIN" in host["CapDrop"] and "seccomp=unconfined" not in host["SecurityOpt"]
    found = sandbox.isolation.capabilities()
    assert not found.available and found.message


def test_the_policy_is_in_force_from_the_start_and_can_be_changed(engine, create, world):
    sandbox = create(network_policy=deny_but("one.example"))
    assert reaches(sandbox, "http://one.example/")
    assert not reaches(sandbox, "http://two.example/")
    assert not reaches(sandbox, f"http://{world.two}/")
    sandbox.patch_egress_rules([NetworkRule(action="allow", target="two.example")])
    assert reaches(sandbox, "http://two.example/")


def test_a_sandbox_outlives_its_server_with_its_policy(engine, create, server):
    sandbox = create(network_policy=deny_but("one.example"))
    run(sandbox, "sleep 1000 & echo $! >/tmp/pid")
    server.kill()
    server.start()
    assert sandbox.get_info().status.state == "Running"
    assert run(sandbox, "kill -0 $(cat /tmp/pid) && echo there") == "there"
    assert reaches(sandbox, "http://one.example/")
    assert not reaches(sandbox, "http://two.example/")


def test_pause_stops_a_sandbox_and_resume_goes_on(engine, create, server):
    sandbox = create()
    run(sandbox, "sh -c 'while :; do date +%s%N >/tmp/now; sleep 0.05; done' >/dev/null 2>&1 & echo")
    sandbox.pause()
    assert container(engine, sandbox)["State"]["Paused"]
    assert sandbox.get_info().status.state == "Paused"
    assert server.api.post(f"/v1/sandboxes/{sandbox.id}/pause").status_code == 409
    assert server.api.post(f"/v1/sandboxes/{sandbox.id}/resume").status_code == 202
    before = run(sandbox, "cat /tmp/now")
    eventually(lambda: run(sandbox, "cat /tmp/now") != before, what="a program that goes on")


@pytest.mark.parametrize(("code", "state"), [(0, "Terminated"), (3, "Failed")])
def test_the_end_of_a_program_is_the_end_of_the_sandbox(engine, server, code, state):
    made = server.api.post("/v1/sandboxes", json=body(entrypoint=["sh", "-c", f"sleep 1; exit {code}"]))
    assert made.status_code == 202, made.text
    where = f"/v1/sandboxes/{made.json()['id']}"
    eventually(lambda: server.api.get(where).json()["status"]["state"] not in ("Running", "Pending"), what="the end")
    status = server.api.get(where).json()["status"]
    assert status["state"] == state and f"exit code {code}" in status["message"]
    assert server.api.delete(where).status_code == 204


def test_a_program_that_is_not_there_is_the_callers_fault(engine, server):
    answer = server.api.post("/v1/sandboxes", json=body(entrypoint=["/no/such/program"]))
    assert (answer.status_code, answer.json()["code"]) == (400, CODE), answer.text


def test_limits_that_the_engine_refuses_are_the_callers_fault(engine, server):
    answer = server.api.post("/v1/sandboxes", json=body(resourceLimits={"cpu": "4000", "memory": "256Mi"}))
    assert answer.status_code == 400 and "cpu" in answer.json()["message"].lower(), answer.text


def test_a_disk_that_the_engine_cannot_limit_is_refused_with_what_it_takes(engine, server):
    """On overlay2 without project quotas; where the engine can, test_engine_gvisor.py has it."""
    answer = server.api.post("/v1/sandboxes", json=body(resourceLimits={"memory": "256Mi", "disk": "1Gi"}))
    assert answer.status_code == 501 and "xfs that is mounted with pquota" in answer.json()["message"], answer.text


def test_a_container_that_somebody_removes_is_lost(engine, create, server):
    sandbox = create()
    engine.run("rm", "--force", f"sandbox-{sandbox.id}")
    eventually(lambda: server.api.get(f"/v1/sandboxes/{sandbox.id}").json()["status"]["state"] == "Failed", what="its end")


def test_a_container_that_somebody_renames_is_still_the_sandboxs(engine, create, server):
    sandbox = create()
    engine.run("rename", f"sandbox-{sandbox.id}", "renamed")
    assert run(sandbox, "echo here") == "here"
    sandbox.pause()
    assert engine.inspect("renamed", "{{.State.Paused}}") == "true"
    server.restart()
    assert sandbox.get_info().status.state == "Paused", "a server that looks at it anew finds it, too"
    assert server.api.delete(f"/v1/sandboxes/{sandbox.id}").status_code == 204
    assert "renamed" not in engine.run("ps", "--all", "--format", "{{.Names}}").stdout.split()


def test_a_container_that_somebody_kills_has_failed(engine, create, server):
    sandbox = create()
    engine.run("kill", f"sandbox-{sandbox.id}")
    eventually(lambda: server.api.get(f"/v1/sandboxes/{sandbox.id}").json()["status"]["state"] != "Running", what="its end")


def test_a_container_that_somebody_starts_again_has_no_network_and_no_program(engine, create, server):
    sandbox = create(network_policy=deny_but("one.example"))
    engine.run("restart", "--time", "0", f"sandbox-{sandbox.id}")
    links = engine.inside("ls", "/sys/class/net", name=f"sandbox-{sandbox.id}").stdout.split()
    assert links == ["lo"]
    assert "sleep" not in engine.run("top", f"sandbox-{sandbox.id}").stdout
    eventually(lambda: server.api.get(f"/v1/sandboxes/{sandbox.id}").json()["status"]["state"] != "Running", what="its end")


def test_a_pause_by_hand_is_noticed(engine, create, server):
    sandbox = create()
    engine.run("pause", f"sandbox-{sandbox.id}")
    eventually(lambda: sandbox.get_info().status.state == "Paused", what="the pause")
    engine.run("unpause", f"sandbox-{sandbox.id}")
    eventually(lambda: sandbox.get_info().status.state == "Running", what="the end of the pause")


def test_snapshots_have_the_files_and_no_secret(engine, create, server):
    sandbox = create(env={"SECRET": "swordfish"})
    run(sandbox, "echo kept >/root/kept")
    made = server.api.post(f"/v1/sandboxes/{sandbox.id}/snapshots").json()["id"]
    eventually(lambda: server.api.get(f"/v1/snapshots/{made}").json()["status"]["state"] == "Ready", what="the snapshot")
    assert "swordfish" not in engine.run("inspect", f"opensandbox-snapshots:{made}").stdout
    answer = server.api.post("/v1/sandboxes", json={
        "snapshotId": made, "entrypoint": SLEEP, "resourceLimits": {}, "timeout": 600})
    assert answer.status_code == 202, answer.text
    restored = answer.json()["id"]
    assert "kept" in engine.inside("cat", "/root/kept", name=f"sandbox-{restored}").stdout
    assert engine.inside("ls", "-A", "/opt/opensandbox/", name=f"sandbox-{restored}").stdout.split() == [
        ".env", "execd", "lib", "token", "variables"]
    assert server.api.delete(f"/v1/snapshots/{made}").status_code == 204
    assert "kept" in engine.inside("cat", "/root/kept", name=f"sandbox-{restored}").stdout
    assert server.api.delete(f"/v1/sandboxes/{restored}").status_code == 204


def test_named_volumes_outlive_sandboxes_unless_they_go_with_them(engine, server):
    def volume(**claim):
        return {"name": "data", "mountPath": "/data", "pvc": {"claimName": "runtime-data", **claim}}

    first = server.api.post("/v1/sandboxes", json=body(
        volumes=[volume()], entrypoint=["sh", "-c", "echo here >/data/file; exec sleep 1000"])).json()["id"]
    eventually(lambda: engine.inside("cat", "/data/file", name=f"sandbox-{first}").stdout == "here\n", what="the file")
    server.api.delete(f"/v1/sandboxes/{first}")
    second = server.api.post("/v1/sandboxes", json=body(volumes=[volume()])).json()["id"]
    assert engine.inside("cat", "/data/file", name=f"sandbox-{second}").stdout == "here\n"
    server.api.delete(f"/v1/sandboxes/{second}")
    engine.run("volume", "rm", "runtime-data")
    third = server.api.post(
        "/v1/sandboxes", json=body(volumes=[volume(deleteOnSandboxTermination=True)])).json()["id"]
    assert "runtime-data" in engine.run("volume", "ls", "--quiet").stdout
    server.api.delete(f"/v1/sandboxes/{third}")
    assert "runtime-data" not in engine.run("volume", "ls", "--quiet").stdout


def test_the_runtimes_own_volumes_are_nobodys_to_mount(engine, create, server):
    sandbox = create()
    for claim in (f"opensandbox-runtime-{sandbox.id}", next(
            name for name in engine.run("volume", "ls", "--quiet").stdout.split() if name.startswith("sallyport-execd-"))):
        answer = server.api.post("/v1/sandboxes", json=body(
            volumes=[{"name": "data", "mountPath": "/data", "pvc": {"claimName": claim}}]))
        assert (answer.status_code, answer.json()["code"]) == (400, "VOLUME::PVC_NOT_FOUND"), answer.text


@pytest.mark.skipif(shutil.which("s3fs") is None or not os.access("/dev/fuse", os.W_OK), reason="buckets cannot be mounted here")
def test_a_bucket_is_read_and_written_over_a_restart_and_goes_with_its_sandbox(engine, server, storage):
    httpx.put(f"http://{storage}/data/there.txt", content=b"of the bucket\n")
    made = server.api.post("/v1/sandboxes", json=body(volumes=[bucket(storage)]))
    assert made.status_code == 202, made.text
    sandbox = SandboxSync.connect(made.json()["id"], connection_config=server.connection())
    assert run(sandbox, "cat /mnt/bucket/there.txt; echo of the sandbox >/mnt/bucket/new.txt") == "of the bucket"
    assert KEYS["accessKeySecret"] not in engine.run("inspect", f"sandbox-{sandbox.id}").stdout
    server.kill()
    server.start()
    assert run(sandbox, "cat /mnt/bucket/new.txt") == "of the sandbox"
    # The program makes an object when a file is made, and fills it when that is closed. It is the keys' owner's alone; lists are not.
    size = f"<Size>{len('of the sandbox') + 1}</Size>"
    eventually(lambda: re.search(f"<Key>new.txt</Key>.*?{size}", httpx.get(f"http://{storage}/data/").text), what="the object")
    assert server.api.delete(f"/v1/sandboxes/{sandbox.id}").status_code == 204
    sandbox.close()
    assert not [line for line in open("/proc/self/mounts") if "fuse" in line and str(engine.folder) in line]
    assert not list((engine.folder / "buckets").glob("*/*"))


@pytest.mark.parametrize(("entry", "status", "word"), [
    ({"s3": {"endpoint": "http://127.0.0.1:1"}}, 400, "storage.bucket_endpoints"), ({"ossfs": {}}, 500, "ossfs2 is not installed"),
])
def test_a_bucket_that_cannot_be_had_is_refused_with_the_reason(engine, server, storage, entry, status, word):
    volume = bucket(storage)
    [(kind, changes)] = entry.items()
    volume[kind] = volume.pop("s3") | changes
    answer = server.api.post("/v1/sandboxes", json=body(volumes=[volume]))
    assert answer.status_code == status and word in answer.json()["message"], answer.text


def test_the_engines_absence_is_said_and_ends_nothing(engine, create, server):
    sandbox = create(network_policy=deny_but("one.example"))
    engine.kill_daemon()
    try:
        answer = server.api.post("/v1/sandboxes", json=body())
        assert answer.status_code == 500 and "does not answer" in answer.json()["message"], answer.text
        assert sandbox.get_info().status.state == "Running", "what is not known is not over"
    finally:
        engine.start_daemon()
    eventually(lambda: server.api.get(f"/v1/sandboxes/{sandbox.id}").json()["status"]["state"] != "Running", what="the truth")
    assert create().is_healthy()


def test_an_engine_that_is_not_there_at_the_start_is_waited_for(engine, server, create):
    server.stop()
    engine.kill_daemon()
    try:
        server.start()
        answer = server.api.post("/v1/sandboxes", json=body())
        assert answer.status_code == 500 and "is dockerd running?" in answer.json()["message"], answer.text
    finally:
        engine.start_daemon()
    assert create().is_healthy()


SETTINGS = """
seccomp_profile = "{folder}/profile.json"
drop_capabilities = ["MKNOD"]
pids_limit = 100
pull_policy = "never"
sandbox_env = {{ COLOUR = "blue", SIZE = "1", SHAPE = "round" }}
sandbox_binds = ["{folder}/profile.json:/etc/profile.json:ro"]
"""


def test_what_an_operator_sets_is_what_containers_get(engine, world, server, tmp_path):
    (tmp_path / "profile.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    own = AllInOneServer(world, tables=engine.tables + SETTINGS.format(folder=tmp_path))
    try:
        made = own.start().api.post("/v1/sandboxes", json=own.body(
            env={"SIZE": "2", "SHAPE": None}, entrypoint=["sh", "-c", "echo told $COLOUR $SIZE ${SHAPE-none}; exec sleep 1000"]))
        assert made.status_code == 202, made.text
        name = f"sandbox-{made.json()['id']}"
        host = json.loads(engine.run("inspect", name).stdout)[0]["HostConfig"]
        assert any(option.startswith("seccomp={") for option in host["SecurityOpt"]), "the profile itself, not its path"
        assert {name.removeprefix("CAP_") for name in host["CapDrop"]} == {"MKNOD", "NET_ADMIN", "NET_RAW"}
        assert host["PidsLimit"] == 100
        assert "SCMP_ACT_ALLOW" in engine.inside("cat", "/etc/profile.json", name=name).stdout
        assert engine.inside("touch", "/etc/profile.json", name=name).returncode != 0
        eventually(lambda: "told blue 2 none" in engine.logs(name), what="its variables")
        refused = own.api.post("/v1/sandboxes", json=own.body(image={"uri": "not-there:1"}))
        assert (refused.status_code, refused.json()["code"]) == (400, "DOCKER::SANDBOX_IMAGE_PULL_FAILED"), refused.text
    finally:
        own.tear_down()


def test_containers_of_others_are_left_alone(engine, server):
    """Also those that look like ours, by all but the owner's name."""
    name = "sandbox-0b5cf4f0-7d56-4a8c-9d41-0a8e8e2f1c11"
    engine.start(name, "--network", "none", "--label", f"opensandbox.io/id={name[8:]}", image=IMAGE)
    try:
        server.restart()
        assert engine.is_running(name)
        assert server.api.delete(f"/v1/sandboxes/{name[8:]}").status_code == 404
        assert engine.is_running(name)
    finally:
        engine.remove_all()
