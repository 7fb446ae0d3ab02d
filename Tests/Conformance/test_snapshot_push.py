"""Snapshots that are pushed to a registry, and sandboxes that are made of what it has (docs/snapshots.md)."""

import base64
import json
import subprocess

import pytest
from opensandbox.models.sandboxes import SandboxImageAuth, SandboxImageSpec
from support.inside import exit_code, say
from support.server import BINARY
from support.waiting import eventually

FOREVER = ["/bin/sh", "-c", "while :; do /bin/busybox sleep 100; done"]


@pytest.fixture
def keys(registry, tmp_path):
    """A file with the registry's credentials."""
    def keys(password=registry.password):
        pair = base64.b64encode(f"{registry.user}:{password}".encode()).decode()
        file = tmp_path / "auth.json"
        file.write_text(json.dumps({"auths": {registry.address: {"auth": pair}}}))
        return file

    return keys


def command(server, *words, fails=False):
    done = subprocess.run([BINARY, "snapshot", *words, "--config", str(server.config)], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL)
    assert (done.returncode != 0) == fails, f"{words}: {done.returncode} {done.stdout} {done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def snapshot(server, api, create, registry):
    """A snapshot called `to-push`, of what has new, changed and deleted files."""
    image = registry.push("small/tool:1", "--config.env", "OWN=of the image", "--config.workingdir", "/bin", passwd="root:x:0:0::/:/bin/sh\n")
    auth = SandboxImageAuth(username=registry.user, password=registry.password)
    sandbox = create(image=SandboxImageSpec(image, auth=auth), entrypoint=FOREVER)
    say(sandbox, "cd /; for name in chown chmod ln mkdir rm; do /bin/busybox ln -s busybox /bin/$name; done; mkdir /new; echo kept > /new/file; "
                 "chown 7:8 /new/file; chmod 640 /new/file; ln -s file /new/link; rm /etc/passwd; echo secret-of-nobody > /etc/other")
    answer = api.post(f"/v1/sandboxes/{sandbox.id}/snapshots", json={"name": "to-push"})
    assert answer.status_code == 202, answer.text
    one = answer.json()["id"]
    eventually(lambda: api.get(f"/v1/snapshots/{one}").json()["status"]["state"] == "Ready", what="the snapshot")
    yield one
    api.delete(f"/v1/snapshots/{one}")


def test_a_snapshot_is_pushed_and_a_sandbox_of_the_image_has_its_files(server, api, create, registry, keys, snapshot):
    assert snapshot in command(server, "list", "--offline") and "to-push" in command(server, "list", "--offline")
    target = f"{registry.address}/saved/one:1"
    said = command(server, "push", "to-push", f"docker://{target}", "--authfile", str(keys()))
    assert said.strip() == target and registry.password not in said
    assert api.delete(f"/v1/snapshots/{snapshot}").status_code == 204
    auth = SandboxImageAuth(username=registry.user, password=registry.password)
    sandbox = create(image=SandboxImageSpec(target, auth=auth), entrypoint=FOREVER)
    assert say(sandbox, "cat /new/link; /bin/busybox stat -c '%u:%g %a' /new/file").split() == ["kept", "7:8", "640"]
    assert exit_code(sandbox, "test -e /etc/passwd") == 1, "what was deleted stays deleted"
    assert say(sandbox, "/bin/busybox cat /etc/other; echo $OWN; pwd") .splitlines() == ["secret-of-nobody", "of the image", "/bin"]
    # Nothing of the packing is left.
    assert not list((server.state / "snapshots/work").iterdir())


@pytest.mark.parametrize(("destination", "words"), [
    ("docker://{address}/saved/one:1", ["refuses"]), ("dir:/tmp/x", ["docker://"]), ("docker://{address}/UPPER:1", ["reference"]),
    ("docker://{address}/saved/one@sha256:" + "0" * 64, ["tag"]), ("docker://--option", ["reference"]),
])
def test_what_cannot_be_pushed_is_told_without_a_password(server, registry, keys, snapshot, destination, words):
    file = keys("wrong-password")
    said = command(server, "push", snapshot, destination.format(address=registry.address), "--authfile", str(file), fails=True)
    for word in words:
        assert word in said, said
    assert "wrong-password" not in said and base64.b64encode(f"{registry.user}:wrong-password".encode()).decode() not in said
    assert not list((server.state / "snapshots/work").iterdir())


def test_no_snapshot_and_no_file_are_told_by_name(server, registry, snapshot):
    target = f"docker://{registry.address}/saved/one:1"
    assert "there is no snapshot other" in command(server, "push", "other", target, fails=True)
    assert "../records" in command(server, "push", "../records/x", target, fails=True)
    assert "/nowhere" in command(server, "push", snapshot, target, "--authfile", "/nowhere", fails=True)
