"""Volumes: folders of the machine, named volumes and buckets, as clients ask for them (docs/volumes.md)."""

import asyncio
import json
import pathlib
import subprocess
from datetime import timedelta

import pytest
from opensandbox import Sandbox, SandboxSync
from opensandbox.config import ConnectionConfig
from opensandbox.models.sandboxes import PVC, Host, Volume
from support.server import BINARY, IMAGE, AllInOneServer
from support.inside import exit_code, say
from support.waiting import eventually
from test_contract import refused


class Store:
    """A server that may give sandboxes one folder, which has the files that the public test suite looks for."""

    def __init__(self, world):
        self.server = AllInOneServer(world)
        self.shared = self.server.folder / "shared"
        self.server.tables = f'[storage]\nallowed_host_paths = ["{self.shared}"]\nossfs_mount_root = "{self.server.folder}/oss"\nbucket_endpoints = ["oss.example"]\n'
        self.server.write_configuration()
        self.host = self.shared / "host-volume-test"
        self.host.mkdir(parents=True)
        (self.host / "marker.txt").write_text("host-marker\n")
        seed = self.server.folder / "seed"
        (seed / "datasets/train").mkdir(parents=True)
        (seed / "marker.txt").write_text("pvc-marker\n")
        (seed / "datasets/train/marker.txt").write_text("train-marker\n")
        self.volume("create", "e2e-pvc-test", "--size", "32Mi", "--from", str(seed))
        self.server.start()

    def volume(self, *words, fails=False):
        done = subprocess.run([BINARY, "volume", *words, "--config", str(self.server.config)], capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL)
        assert (done.returncode != 0) == fails, f"{words}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout + done.stderr

    def names(self):
        return [line.split()[0] for line in self.volume("list").splitlines()[1:]]

    def refused(self, volume, status, code):
        with self.server.api as api:
            volumes = volume if isinstance(volume, list) else [volume]
            answer = api.post("/v1/sandboxes", json=self.server.body(volumes=volumes))
            if answer.status_code == 202:
                api.delete(f"/v1/sandboxes/{answer.json()['id']}")
            return refused(answer, status, code)


@pytest.fixture(scope="module")
def store(world):
    store = Store(world)
    try:
        yield store
    finally:
        for sandbox in store.server.ids():
            store.server.api.delete(f"/v1/sandboxes/{sandbox}")
        for name in store.names():
            store.volume("remove", name)
        store.server.tear_down()


@pytest.fixture
def box(store):
    """Creates sandboxes with volumes; they end with the test."""
    made = []

    def box(*volumes, **more):
        made.append(store.server.create(volumes=list(volumes), **more))
        return made[-1]

    yield box
    for sandbox in made:
        store.server.api.delete(f"/v1/sandboxes/{sandbox.id}")
        sandbox.close()


def host(store, path="/mnt/host-data", **more):
    return Volume(name="host-data", host=Host(path=str(store.host)), mount_path=path, **more)


def pvc(name="e2e-pvc-test", path="/mnt/pvc-data", volume="pvc-data", read_only=False, sub_path=None, **claim):
    return Volume(name=volume, pvc=PVC(claim_name=name, **claim), mount_path=path, read_only=read_only, sub_path=sub_path)


class TestWhatThePublicSuiteExpects:
    def test_a_host_folder_is_read_and_written(self, store, box):
        sandbox = box(host(store))
        assert say(sandbox, "cat /mnt/host-data/marker.txt").strip() == "host-marker"
        say(sandbox, "echo written > /mnt/host-data/output.txt")
        assert (store.host / "output.txt").read_text() == "written\n"
        assert say(sandbox, "test -d /mnt/host-data && echo folder").strip() == "folder"

    def test_a_read_only_host_folder_refuses_writes(self, store, box):
        sandbox = box(host(store, read_only=True))
        assert say(sandbox, "cat /mnt/host-data/marker.txt").strip() == "host-marker"
        done = sandbox.commands.run("touch /mnt/host-data/should-fail.txt")
        assert done.exit_code != 0 and "Read-only" in "".join(message.text for message in done.logs.stderr)
        assert not (store.host / "should-fail.txt").exists()

    def test_a_named_volume_is_read_and_written_and_outlives_its_sandbox(self, store, box):
        first = box(pvc())
        assert say(first, "cat /mnt/pvc-data/marker.txt").strip() == "pvc-marker"
        say(first, "echo kept > /mnt/pvc-data/kept.txt")
        store.server.api.delete(f"/v1/sandboxes/{first.id}")
        assert say(box(pvc(read_only=True)), "cat /mnt/pvc-data/kept.txt").strip() == "kept"

    def test_only_the_part_that_is_asked_for_is_seen(self, box):
        sandbox = box(pvc(path="/mnt/train", sub_path="datasets/train"))
        assert say(sandbox, "ls -A /mnt/train; cat /mnt/train/marker.txt").split() == ["marker.txt", "train-marker"]
        say(sandbox, "echo part > /mnt/train/new; cat /mnt/train/new")
        assert exit_code(sandbox, "test -e /mnt/train/../marker.txt") != 0

    def test_the_asynchronous_client_and_the_server_proxy_have_them_too(self, store):
        async def run():
            connection = ConnectionConfig(
                api_key=store.server.key, domain=f"127.0.0.1:{store.server.port}", disable_metrics=True, use_server_proxy=True)
            sandbox = await Sandbox.create(IMAGE, connection_config=connection, volumes=[pvc(), host(store, read_only=True)])
            store.server.seen.add(sandbox.id)
            async with sandbox:
                done = await sandbox.commands.run("cat /mnt/pvc-data/marker.txt /mnt/host-data/marker.txt")
                content = await sandbox.files.read_file("/mnt/pvc-data/marker.txt")
                await sandbox.kill()
                return "".join(message.text for message in done.logs.stdout), content

        text, content = asyncio.run(run())
        assert text.split() == ["pvc-marker", "host-marker"] and content.strip() == "pvc-marker"

    def test_the_command_line_has_them(self, store, tmp_path):
        from click.testing import CliRunner
        from opensandbox_cli.main import cli

        file = tmp_path / "volumes.json"
        file.write_text(json.dumps([{"name": "a", "pvc": {"claimName": "e2e-pvc-test"}, "mountPath": "/a", "readOnly": True}]))
        environment = {**store.server.environment(), "HOME": str(tmp_path), "NO_COLOR": "1"}

        def osb(*words):
            done = CliRunner().invoke(cli, words, env=environment)
            assert done.exit_code == 0, f"{words}: {done.output} {done.exception!r}"
            return done.stdout

        made = json.loads(osb("sandbox", "create", "--image", IMAGE, "--volumes-file", str(file), "-o", "json"))
        store.server.seen.add(made["id"])
        assert "pvc-marker" in osb("command", "run", made["id"], "--", "cat", "/a/marker.txt")
        osb("sandbox", "kill", made["id"])


def test_it_goes_on_through_a_pause(store, box):
    sandbox = box(pvc("paused"))
    say(sandbox, "echo before > /mnt/pvc-data/file")
    sandbox.pause()
    resumed = SandboxSync.resume(sandbox.id, connection_config=store.server.connection())
    assert say(resumed, "cat /mnt/pvc-data/file; echo after > /mnt/pvc-data/file").strip() == "before"


def test_several_mounts_of_one_volume_and_one_below_another(store, box):
    sandbox = box(pvc("many", "/rw"), pvc("many", "/ro", volume="ro", read_only=True), pvc("inner", "/rw/in", volume="in"))
    say(sandbox, "echo a > /rw/file; echo b > /rw/in/file; cat /ro/file")
    assert say(sandbox, "ls -A /ro/in; cat /ro/file").strip() == "a"
    assert exit_code(sandbox, "touch /ro/x") != 0


def test_a_volume_goes_with_the_sandbox_that_made_it_on_delete_and_on_expiry(store, box):
    sandbox = box(pvc("mine", delete_on_sandbox_termination=True), pvc("stays", "/stays", volume="stays"))
    assert {"mine", "stays"} <= set(store.names())
    assert store.volume("remove", "mine", fails=True).find(sandbox.id) > 0, "it is in use"
    store.server.api.delete(f"/v1/sandboxes/{sandbox.id}")
    assert "mine" not in store.names() and "stays" in store.names()
    expiring = box(pvc("mine", delete_on_sandbox_termination=True))
    expiring.renew(timedelta(seconds=1))
    eventually(lambda: "mine" not in store.names(), what="the end of the volume")


def test_operators_list_make_and_remove_them(store):
    store.volume("create", "by-hand", "--size", "16Mi")
    line = next(line for line in store.volume("list").splitlines() if line.startswith("by-hand "))
    assert line.split()[1:3] == ["16Mi", "operator"]
    assert "already" in store.volume("create", "by-hand", fails=True)
    store.volume("remove", "by-hand")
    assert "by-hand" not in store.names() and "no volume" in store.volume("remove", "by-hand", fails=True)
    for name in ("../x", "A", "", "a/b"):
        store.volume("create", name, fails=True)
        store.volume("remove", name, fails=True)
    assert "not a size" in store.volume("create", "x", "--size", "1", fails=True)


class TestWhatIsRefused:
    def entry(self, path="/v", **backend):
        return {"name": "v", "mountPath": path, **backend}

    @pytest.mark.parametrize("path,code", [
        ("/etc", "HOST_PATH_NOT_ALLOWED"), ("{}2", "HOST_PATH_NOT_ALLOWED"), ("{}/..", "INVALID_HOST_PATH"),
        ("{}/../shared", "INVALID_HOST_PATH"), ("{}/", "INVALID_HOST_PATH"), ("/{}", "INVALID_HOST_PATH"),
        ("relative", "INVALID_HOST_PATH"), ("C:\\data", "INVALID_HOST_PATH"), ("{}/link", "HOST_PATH_NOT_ALLOWED"),
        ("{}/link/x", "HOST_PATH_NOT_ALLOWED"),
    ])
    def test_a_host_path(self, store, path, code):
        link = store.shared / "link"
        if not link.is_symlink():
            link.symlink_to("/etc")
        pathlib.Path(f"{store.shared}2").mkdir(exist_ok=True)
        store.refused(self.entry(host={"path": path.format(store.shared)}), 400, f"VOLUME::{code}")

    @pytest.mark.parametrize("part", ["../x", "/x", "a/../../b", "link", "link/x"])
    def test_a_sub_path(self, store, part):
        link = store.host / "link"
        if not link.is_symlink():
            link.symlink_to("/etc")
        store.refused(self.entry(host={"path": str(store.host)}, subPath=part), 400, "VOLUME::INVALID_SUB_PATH")

    @pytest.mark.parametrize("path", ["/", "/proc", "/proc/sys/x", "/opt/opensandbox", "/opt", "/etc", "/dev/x", "/a/../b"])
    def test_a_mount_path(self, store, path):
        store.refused(self.entry(path, pvc={"claimName": "never"}), 400, "VOLUME::INVALID_MOUNT_PATH")

    def test_two_of_one_name_or_one_place(self, store):
        claim = {"pvc": {"claimName": "never"}}
        store.refused([self.entry("/a", **claim), self.entry("/b", **claim)], 400, "VOLUME::DUPLICATE_NAME")
        other = {"name": "w", "mountPath": "/v/", **claim}
        store.refused([self.entry("/v", **claim), other], 400, "VOLUME::INVALID_MOUNT_PATH")

    def test_a_claim_of_nothing(self, store):
        claim = {"claimName": "never", "createIfNotExists": False}
        store.refused(self.entry(pvc=claim), 400, "VOLUME::PVC_NOT_FOUND")

    @pytest.mark.parametrize("bucket", ["../..", "..", "a/b", "A", "../../proc"])
    def test_a_bucket_that_is_no_name(self, store, bucket):
        keys = {"endpoint": "oss.example", "accessKeyId": "id", "accessKeySecret": "tops3cret"}
        with store.server.api as api:
            body = store.server.body(volumes=[self.entry(ossfs={"bucket": bucket, **keys})])
            answer = api.post("/v1/sandboxes", json=body)
        assert answer.status_code in (400, 422) and "tops3cret" not in answer.text
        assert not (store.server.folder / "oss").exists()

    def test_a_bucket_where_no_program_mounts_any(self, store):
        keys = {"bucket": "abc", "endpoint": "oss.example", "accessKeyId": "id", "accessKeySecret": "tops3cret"}
        body = store.refused(self.entry(ossfs=keys), 500, "VOLUME::OSSFS_MOUNT_FAILED")
        assert "ossfs2 is not installed" in body["message"]
        assert "tops3cret" not in store.server.log.read_text(errors="replace")

    def test_a_bucket_at_an_endpoint_that_is_not_allowed(self, store):
        for endpoint in ("169.254.169.254", "http://127.0.0.1:8080", "oss.example:8080", "x.oss.example"):
            for kind in ("ossfs", "s3"):
                keys = {"bucket": "abc", "endpoint": endpoint, "accessKeyId": "id", "accessKeySecret": "tops3cret"}
                body = store.refused(self.entry(**{kind: keys}), 400, "VOLUME::INVALID_OSSFS_ENDPOINT")
                assert "storage.bucket_endpoints" in body["message"] and "tops3cret" not in body["message"]

    def test_and_a_refused_request_makes_no_volume_and_no_folder(self, store):
        volumes = [{"name": "a", "mountPath": "/a", "pvc": {"claimName": "never"}},
                   {"name": "b", "mountPath": "/b", "host": {"path": f"{store.shared}/never"}},
                   {"name": "c", "mountPath": "/c", "host": {"path": "/etc"}}]
        store.refused(volumes, 400, "VOLUME::HOST_PATH_NOT_ALLOWED")
        with store.server.api as api:
            body = store.server.body(volumes=volumes[:2], image={"uri": "no-such-image:1"})
            assert api.post("/v1/sandboxes", json=body).status_code == 400
        assert "never" not in store.names() and not (store.shared / "never").exists()


def test_where_nothing_is_allowed_no_host_path_is(server, api):
    volume = {"name": "v", "mountPath": "/v", "host": {"path": "/tmp"}}
    body = refused(api.post("/v1/sandboxes", json=server.body(volumes=[volume])), 400, "VOLUME::HOST_PATH_NOT_ALLOWED")
    assert "allowed_host_paths" in body["message"]
