"""Images that are made to reach the host, from a real registry into real sandboxes (threats, R1)."""

import hashlib
import os
import pathlib
import secrets
import shutil
import tempfile

import pytest
from opensandbox.models.sandboxes import SandboxImageAuth, SandboxImageSpec
from support.hostile_images import Layer, base_layer, impossible, special_files, write_layout
from support.inside import has_user_namespace, keeps_mount_flags, say
from support.waiting import eventually

FOREVER = ["/bin/sh", "-c", "while :; do /bin/busybox sleep 100; done"]
BUSY = "/bin/busybox"


@pytest.fixture
def canary():
    """A folder of the host's that no image may see or change."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-canary-"))
    (folder / "secret").write_text("the host's " + secrets.token_hex(8))
    before = state(folder)
    yield folder
    assert state(folder) == before
    shutil.rmtree(folder)


def state(folder):
    return {path: (path.lstat().st_mode, path.lstat().st_nlink, path.read_bytes() if path.is_file() else None)
            for path in (folder, *folder.rglob("*"))}


@pytest.fixture
def push(registry):
    """Puts layers into the registry; the reference."""
    def push(layers):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-layout-"))
        try:
            return registry.push_layout(write_layout(folder, layers), f"hostile/image:{secrets.token_hex(6)}")
        finally:
            shutil.rmtree(folder)
    return push


@pytest.fixture
def run(either_runtime, registry):
    made = []

    def run(image):
        auth = SandboxImageAuth(username=registry.user, password=registry.password)
        made.append(either_runtime.create(image=SandboxImageSpec(image, auth=auth), entrypoint=FOREVER))
        return made[-1]

    yield run
    for sandbox in made:
        sandbox.kill()
        sandbox.close()


def test_an_image_of_special_files_runs_without_them(either_runtime, push, run, canary):
    sandbox = run(push(special_files(canary)))

    def inside(command):
        return say(sandbox, command.replace("busybox", BUSY))

    # Nodes, pipes and sockets are gone; what they stood in the place of is gone with the layer that took it away.
    assert inside("busybox find / -xdev ! -type f ! -type d ! -type l") == ""
    assert inside("busybox ls -A /nodes; busybox ls /hidden /gone 2>/dev/null; busybox ls -A /opaque").split() == ["new"]
    # Links lead where they lead inside, names and hard links stay in the tree.
    secret = (canary / "secret").read_text()
    assert sandbox.commands.run(f"{BUSY} cat /way-out/secret /way-up/secret").exit_code == 1
    assert secret not in inside("busybox grep -r host / --include=secret 2>/dev/null; true")
    assert inside("busybox cat /linked /linked-absolute /linked-up").split("\n")[:3] == ["of the image"] * 3
    assert inside("busybox cat /absolute /beside") == "xx"
    assert inside("busybox ls /etc | busybox grep -c latin1") == "1"
    # Rights: set-id bits are shown and count for nothing, and a file's capabilities do not keep it from running.
    assert inside("busybox stat -c %a /set-id") == "6755"
    if has_user_namespace(sandbox) or keeps_mount_flags(sandbox):
        assert say(sandbox, "/busybox-capable echo runs") == "runs"
    # overlayfs reads no orders of the image's.
    assert inside("busybox ls /kept; busybox ls -A /redirected").split() == ["file"]
    # The same on the disk, where nobody but the server comes.
    roots = list((either_runtime.state / "images/files").iterdir())
    assert roots and all(root.parent.stat().st_mode & 0o777 == 0o700 for root in roots)
    for path in (path for root in roots for path in root.rglob("*")):
        assert path.is_symlink() or path.is_file() or path.is_dir(), path
        names = os.listxattr(path, follow_symlinks=False)
        assert not [name for name in names if name.startswith(("trusted.", "user.overlay."))], (path, names)


@pytest.mark.parametrize("name", impossible("/x"))
def test_what_cannot_be_unpacked_within_its_tree_is_refused_or_changes_nothing(own_store, push, canary, name):
    outcome = own_store(push(impossible(canary)[name]))
    assert outcome in ("Running", "Failed", 400, 500), outcome


@pytest.fixture(scope="module")
def own_store(server, registry):
    """Creates a sandbox of an image, in whatever way that ends, and looks after the images that were there before."""
    with server.api as api:
        def create(image):
            auth = {"username": registry.user, "password": registry.password}
            body = server.body(image={"uri": image, "auth": auth}, entrypoint=FOREVER)
            store = server.state / "images"
            before = digest_of(store)
            answer = api.post("/v1/sandboxes", json=body)
            if answer.status_code != 202:
                assert "umoci" in answer.text or "unpack" in answer.text, answer.text
                assert digest_of(store) == before and not list((store / "work").iterdir())
                return answer.status_code
            sandbox = answer.json()["id"]
            found = eventually(lambda: (s := api.get(f"/v1/sandboxes/{sandbox}").json()["status"]["state"]) != "Pending" and s, within=60)
            api.delete(f"/v1/sandboxes/{sandbox}")
            return found

        yield create


def digest_of(folder):
    names = sorted(str(path.relative_to(folder)) for path in (folder / "files").rglob("*"))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


@pytest.mark.parametrize("place", ["etc", "etc/resolv.conf", "opt", "proc", "dev", "sys", "run", "etc/hosts"])
def test_a_mount_point_that_is_a_link_leads_to_no_place_of_the_host(either_runtime, push, registry, canary, place):
    """What the server mounts into a sandbox lands inside it, or the sandbox does not start."""
    layer = Layer()
    if "/" not in place:
        base = Layer().folder("bin")
        base.add("bin/busybox", content=pathlib.Path(BUSY).read_bytes(), mode=0o755).link("bin/sh", "busybox")
    else:
        base = base_layer()
    layer.link(place, str(canary / ("secret" if "/" in place else "")).rstrip("/"))
    auth = {"username": registry.user, "password": registry.password}
    with either_runtime.api as api:
        body = either_runtime.body(image={"uri": push([base, layer]), "auth": auth}, entrypoint=FOREVER)
        answer = api.post("/v1/sandboxes", json=body)
        if answer.status_code == 202:
            api.delete(f"/v1/sandboxes/{answer.json()['id']}")
        else:
            assert answer.json()["code"] and answer.json()["message"], answer.text
