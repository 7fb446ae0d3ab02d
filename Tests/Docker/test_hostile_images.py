"""Images, volumes and names that are odd, or meant to reach what is not theirs: execd's place, another's image, the engine itself."""

import io
import json
import pathlib
import shutil
import subprocess
import tarfile

import pytest
from plain_server import body, container, engine, plain_engine, run, server  # noqa: F401
from support.server import IMAGE, SLEEP
from support.waiting import eventually

TABLES = '[storage]\nallowed_host_paths = ["{folder}", "/run", "/tmp"]\n'
PULL, MOUNT = "DOCKER::SANDBOX_IMAGE_PULL_FAILED", "VOLUME::INVALID_MOUNT_PATH"


@pytest.fixture
def images(engine):
    """Names of images that go with the test."""
    names = []
    yield names
    for name in names:
        engine.run("image", "rm", "--force", name)


@pytest.fixture
def volumes(engine):
    """Makes volumes that go with the test; the folder of each."""
    names = []

    def make(name):
        engine.run("volume", "create", name)
        names.append(name)
        return pathlib.Path(engine.run("volume", "inspect", "--format", "{{.Mountpoint}}", name).stdout.strip())

    yield make
    for name in names:
        eventually(lambda: engine.run("volume", "rm", name, check=False).returncode == 0, what="the end of a volume")


def load(engine, name, links, *changes):
    """An image of nothing but links."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, target in links.items():
            link = tarfile.TarInfo(path)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
    subprocess.run(
        ["docker", "--host", engine.address, "import", *(word for change in changes for word in ("--change", change)), "-", name],
        input=packed.getvalue(), check=True, stdout=subprocess.DEVNULL, timeout=120)


def refused(server, code, **request):
    answer = server.api.post("/v1/sandboxes", json=body(**request))
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.text
    return answer.json()["message"]


def denied(server, uri, **more):
    """A registry that is not there says neither yes nor no."""
    before = server.ids()
    answer = server.api.post("/v1/sandboxes", json=body(image={"uri": uri, **more}))
    assert answer.status_code in (400, 500) and answer.json()["code"] == PULL, answer.text
    assert server.ids() == before


def claim(name, path):
    return {"name": name, "mountPath": path, "pvc": {"claimName": name}}


def host(path):
    return {"name": "files", "mountPath": "/files", "host": {"path": str(path)}}


@pytest.mark.parametrize(("links", "volume"), [
    ({"x/y": "/opt"}, "/x/y/opensandbox/lib"), ({"x": "/opt/opensandbox"}, "/x"), ({"opt": "/data"}, "/data/opensandbox/lib"),
    ({}, "/opt/opensandbox/token"),
])
def test_an_images_volume_does_not_come_to_lie_over_execd(engine, server, images, links, volume):
    images.append("covering:1")
    load(engine, "covering:1", links, f"VOLUME {volume}")
    assert volume in refused(server, PULL, image={"uri": "covering:1"})
    eventually(lambda: not engine.run("ps", "--all", "--quiet").stdout, what="the end of what was made")


def test_volumes_of_images_are_as_always(engine, create, images):
    images.append("with-volume:1")
    engine.build("with-volume:1", f"FROM {IMAGE}\nVOLUME /srv/deep/down\nVOLUME /var/run/some\n")
    sandbox = create(image="with-volume:1")
    assert run(sandbox, "touch /srv/deep/down/a && ls /srv/deep/down") == "a"
    sandbox.kill()


def test_an_image_of_one_static_program_with_odd_settings_is_a_sandbox(engine, create, images, tmp_path):
    """No shell, no library, an /opt in which nobody writes; a long variable, and a step for images that are built upon it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "opt").mkdir(mode=0o555)
    shutil.copy("/bin/busybox", tmp_path / "bin/sleep")
    images.append("one-program:1")
    engine.load("one-program:1", tmp_path, f"ENV LONG={'x' * 60_000}", "ONBUILD RUN /bin/false")
    sandbox = create(image="one-program:1", entrypoint=["/bin/sleep", "1000"])
    sandbox.files.write_file("/tmp/a", "text")
    assert sandbox.files.read_file("/tmp/a") == "text"
    sandbox.kill()


def test_folders_and_parts_of_volumes_are_mounted_as_asked(engine, server, volumes, plain_engine):
    given, part = pathlib.Path(plain_engine.folder) / "given", volumes("parted") / "datasets/train"
    (given / "deep").mkdir(parents=True)
    part.mkdir(parents=True)
    for folder in (given, given / "deep", part):
        (folder / "marker").write_text("here")
    asked = [host(given) | {"name": "open", "mountPath": "/open"}, host(given) | {"name": "shut", "mountPath": "/shut", "readOnly": True},
             host(given) | {"name": "deep", "mountPath": "/deep", "subPath": "deep"},
             claim("parted", "/train") | {"subPath": "datasets/train"}]
    made = server.api.post("/v1/sandboxes", json=body(volumes=asked))
    assert made.status_code == 202, made.text
    name = f"sandbox-{made.json()['id']}"
    shown = {path: engine.inside("ls", "-A", path, name=name).stdout.split() for path in ("/open", "/shut", "/deep", "/train")}
    assert shown == {"/open": ["deep", "marker"], "/shut": ["deep", "marker"], "/deep": ["marker"], "/train": ["marker"]}
    written = {path: engine.inside("touch", f"{path}/new", name=name).returncode == 0 for path in shown}
    assert written == {"/open": True, "/shut": False, "/deep": True, "/train": True}
    assert (given / "new").exists() and (given / "deep/new").exists() and (part / "new").exists()
    server.api.delete(f"/v1/sandboxes/{made.json()['id']}")
    assert (given / "marker").read_text() == "here", "nobody's files go with a sandbox"
    shutil.rmtree(given)


def test_a_link_in_a_volume_leads_no_other_volume_over_execd(engine, server, volumes):
    (volumes("shared") / "x").symlink_to("/opt")
    volumes("mine")
    assert "/data/x" in refused(server, MOUNT, volumes=[claim("shared", "/data"), claim("mine", "/data/x")])


def test_volumes_in_volumes_are_as_always(engine, create, server, volumes):
    volumes("shared")
    volumes("mine")
    made = server.api.post("/v1/sandboxes", json=body(volumes=[claim("shared", "/data"), claim("mine", "/data/x")]))
    assert made.status_code == 202, made.text
    name = f"sandbox-{made.json()['id']}"
    assert engine.inside("touch", "/data/x/a", name=name).returncode == 0
    server.api.delete(f"/v1/sandboxes/{made.json()['id']}")


def test_a_snapshot_is_nobodys_image_by_whatever_name(engine, create, server):
    sandbox = create()
    made = server.api.post(f"/v1/sandboxes/{sandbox.id}/snapshots").json()["id"]
    eventually(lambda: server.api.get(f"/v1/snapshots/{made}").json()["status"]["state"] == "Ready", what="the snapshot")
    name = f"opensandbox-snapshots:{made}"
    whole = engine.run("inspect", "--format", "{{.Id}}", name).stdout.strip()
    for uri in (name, f"docker.io/library/{name}", whole, whole[7:19]):
        denied(server, uri)
    server.api.delete(f"/v1/snapshots/{made}")


def test_what_execd_is_told_is_in_no_inspection_and_no_snapshot(engine, create, server):
    sandbox = create(
        env={"JUPYTER_TOKEN": "swordfish", "EXECD_API_GRACE_SHUTDOWN": "7s"}, metadata={"team": "red"},
        entrypoint=["sh", "-c", "echo $JUPYTER_TOKEN >/tmp/told; exec sleep 1000"])
    assert run(sandbox, "cat /tmp/told") == "swordfish", "the program has it all the same"
    made = server.api.post(f"/v1/sandboxes/{sandbox.id}/snapshots").json()["id"]
    eventually(lambda: server.api.get(f"/v1/snapshots/{made}").json()["status"]["state"] == "Ready", what="the snapshot")
    image = f"opensandbox-snapshots:{made}"
    for text in (engine.run("inspect", f"sandbox-{sandbox.id}").stdout, engine.run("inspect", image).stdout):
        assert "swordfish" not in text and "7s" not in text
    found = json.loads(engine.run("inspect", image).stdout)[0]["Config"]
    assert not found["Entrypoint"] and not any(found["Labels"].get(name) for name in (
        "opensandbox.io/id", "opensandbox.io/owner", "sallyport.io/part", "team"))

    # A container of somebody's own, made of it, says nothing about the sandbox when it goes.
    engine.run("run", "--rm", "--network", "none", image, "true")
    engine.run("pause", f"sandbox-{sandbox.id}")
    eventually(lambda: sandbox.get_info().status.state != "Running", what="the event after it")
    assert sandbox.get_info().status.state == "Paused"
    engine.run("unpause", f"sandbox-{sandbox.id}")
    server.api.delete(f"/v1/snapshots/{made}")


def test_host_paths_do_not_lead_to_the_engine(engine, server, plain_engine):
    folder = pathlib.Path(plain_engine.folder)
    (folder / "link").symlink_to(folder / "data")
    (folder / "shared").mkdir()
    try:
        for path in (folder, folder / "data", folder / "data/volumes", folder / "link", folder / "link/volumes", "/tmp", "/run",
                     plain_engine.socket):
            answer = server.api.post("/v1/sandboxes", json=body(volumes=[host(path)]))
            assert answer.status_code == 400 and answer.json()["code"].startswith("VOLUME::"), f"{path}: {answer.text}"
        made = server.api.post("/v1/sandboxes", json=body(volumes=[host(folder / "shared")]))
        assert made.status_code == 202, made.text
        server.api.delete(f"/v1/sandboxes/{made.json()['id']}")
    finally:
        (folder / "link").unlink()


def test_a_server_does_not_mount_what_is_another_servers(engine, server, volumes):
    for name in ("sallyport-execd-0123456789ab", "opensandbox-egress-someones", "opensandbox-runtime-someones"):
        volumes(name)
        refused(server, "VOLUME::PVC_NOT_FOUND", volumes=[claim(name, "/data")])


def test_labels_beyond_what_an_event_holds_are_the_images_fault(engine, create, server, images):
    images.append("wordy:1")
    engine.build("wordy:1", f"FROM {IMAGE}\n" + "".join(f"LABEL l{number}={'x' * 30_000}\n" for number in range(5)))
    assert "labels" in refused(server, PULL, image={"uri": "wordy:1"})


# Images behind a password

def auth(registry, password=None):
    return {"username": registry.user, "password": password or registry.password}


def test_a_private_image_is_private_under_all_of_its_names(engine, server, registry, images):
    uri = registry.push("private/tool:1")
    images.append(uri)
    made = server.api.post(
        "/v1/sandboxes", json=body(image={"uri": uri, "auth": auth(registry)}, entrypoint=["/bin/busybox", "sleep", "1000"]))
    assert made.status_code == 202, made.text
    found = json.loads(engine.run("inspect", uri).stdout)[0]
    engine.run("tag", uri, "another-name:1")
    images.append("another-name:1")
    for name in (uri, found["RepoDigests"][0], found["Id"], found["Id"][7:19], "another-name:1"):
        denied(server, name)
    # An engine that knows the digest asks the registry for nothing.
    denied(server, found["RepoDigests"][0], auth=auth(registry, "wrong"))
    server.restart()
    refused(server, PULL, image={"uri": uri})
    server.api.delete(f"/v1/sandboxes/{made.json()['id']}")


def test_wrong_credentials_lock_nobody_out(engine, create, server, registry):
    answer = server.api.post("/v1/sandboxes", json=body(image={"uri": IMAGE, "auth": auth(registry, "wrong")}))
    assert answer.status_code in (400, 500), answer.text
    assert create().is_healthy()
