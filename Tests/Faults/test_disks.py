"""Disks of sandboxes, and the server's own when it is full: nobody fills another's, and nothing acknowledged is lost."""

import contextlib
import ctypes
import os
import shutil
import struct
import subprocess

import pytest
from support.server import AllInOneServer
from support.inside import say
from support.waiting import eventually

FILL = "dd if=/dev/zero of={} bs=1M 2>&1 | grep -o 'No space left on device'"


def used(path):
    return path.stat().st_blocks * 512


def test_a_limit_that_a_client_names_holds_before_and_after_the_server_is_killed(own_server):
    sandbox = own_server.create(resource={"cpu": "1", "memory": "256Mi", "disk": "64Mi"})
    (image,) = (own_server.state / "sandboxes").glob("*/disk.img")
    assert say(sandbox, FILL.format("/tmp/one")) == "No space left on device"
    assert say(sandbox, "df -B1M --output=size /tmp | tail -1").strip() in ("56", "57", "58", "59", "60", "61", "62", "63")
    own_server.kill()
    own_server.start()
    assert say(sandbox, "rm /tmp/one && echo kept > /root/kept && cat /root/kept") == "kept"
    assert say(sandbox, FILL.format("/root/two")) == "No space left on device"
    subprocess.run(["sync", "-f", str(image.parent / "disk")], check=True)
    assert used(image) <= 65 << 20
    sandbox.kill()
    eventually(lambda: not own_server.leftovers.disks(), what="the end of the loop device")


@pytest.mark.parametrize("resource, text", [
    ({"disk": "1Mi"}, "disk"), ({"ephemeral-storage": "lots"}, "ephemeral-storage"),
    ({"disk": "64Mi", "ephemeral-storage": "65Mi"}, "differ: give only one"), ({"disk": "100Ti"}, "disk"),
    ({"disk": "-1"}, "disk"), ({"disk": "1e400"}, "disk")])
def test_a_disk_that_cannot_be_is_refused_by_name(server, api, resource, text):
    answer = api.post("/v1/sandboxes", json=server.body(resourceLimits=resource))
    assert answer.status_code == 400 and text in answer.json()["message"], answer.text


@contextlib.contextmanager
def mounted(server, *words):
    """A server with a file system of its own for its state; a test is skipped where the machine cannot mount it."""
    server.state.mkdir()
    done = subprocess.run(["mount", *words, str(server.state)], capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(server.folder)
        pytest.skip(f"this machine does not mount {' '.join(words)}: {done.stderr.strip()}")
    try:
        yield server.start()
    finally:
        try:
            (server.state / "ballast").unlink(missing_ok=True)
            # The mount is the test's.
            server.leftovers.mounts = lambda: []
            server.tear_down()
        finally:
            subprocess.run(["umount", "-l", str(server.state)], capture_output=True)
            subprocess.run(["rm", "-rf", str(server.folder)], check=True)


@pytest.fixture
def small(world):
    """A server whose state is on a file system of 160 MiB."""
    with mounted(AllInOneServer(world, local={"disk_reserve": '"32Mi"', "disk": '"64Mi"'}),
                 "-t", "tmpfs", "-o", "size=160m", "tmpfs") as server:
        yield server


def test_a_full_disk_of_the_server_refuses_creates_and_loses_nothing_acknowledged(small):
    kept, gone = small.create(), small.create()
    say(kept, "echo text > /root/file")
    ballast = small.state / "ballast"
    subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=1M", "status=none"], capture_output=True)
    with small.api as api:
        refused = api.post("/v1/sandboxes", json=small.body())
        assert refused.status_code == 429 and refused.json()["code"] == "SANDBOX::CAPACITY_EXHAUSTED", refused.text
        assert "nearly full" in refused.json()["message"]
        # Who wants to make room can.
        assert api.delete(f"/v1/sandboxes/{gone.id}").status_code == 204
        assert api.get(f"/v1/sandboxes/{gone.id}").status_code == 404
    ballast.unlink()
    small.kill()
    small.start()
    assert small.ids() == [kept.id]
    assert say(kept, "cat /root/file") == "text"
    another = small.create()
    assert say(another, "echo works") == "works"


@pytest.fixture
def projects(world, tmp_path):
    """A server whose state is on an ext4 with project quotas."""
    image = tmp_path / "projects.img"
    with open(image, "wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "quota,project", "-E", "quotatype=prjquota", str(image)], check=True)
    with mounted(AllInOneServer(world, local={"disk_limits": '"quota"', "disk": '"64Mi"'}),
                 "-o", "loop,prjquota", str(image)) as server:
        yield server


def limited_projects(folder):
    """The projects of a file system that have a limit (quotactl_fd(2), Q_GETNEXTQUOTA)."""
    libc, found, number = ctypes.CDLL(None, use_errno=True), [], 1
    descriptor = os.open(folder, os.O_RDONLY)
    block = ctypes.create_string_buffer(72)
    while libc.syscall(443, descriptor, 0x800009 << 8 | 2, number, block) == 0:
        number = struct.unpack_from("I", block, 68)[0]
        found += [number] if struct.unpack_from("Q", block)[0] else []
        number += 1
    os.close(descriptor)
    return found


# The output is no file of the overlay: nothing stands between it and the file system that counts.
LEAVE = """
import fcntl, os, struct
for path in ("/proc/1/fd/1", "/tmp"):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        attributes = bytearray(fcntl.ioctl(descriptor, 0x801C581F, bytes(28)))
        struct.pack_into("I", attributes, 12, 0)
        fcntl.ioctl(descriptor, 0x401C5820, bytes(attributes))
        print("left")
    except OSError as error:
        print(error.errno != 2)
"""


def test_project_quotas_hold_each_sandbox_by_itself_and_end_with_it(projects):
    one, two = projects.create(), projects.create(resource={"cpu": "1", "memory": "256Mi", "disk": "32Mi"})
    assert len(limited_projects(projects.state)) == 2 and not projects.leftovers.disks()
    full = "dd if=/dev/zero of={} bs=1M 2>&1 | grep -o 'Disk quota exceeded'; stat -c %s {}"
    for sandbox, size in ((one, 64), (two, 32)):
        assert say(sandbox, "df -B1M --output=size / | tail -1").strip() == str(size)
        words = say(sandbox, full.format("/tmp/file", "/tmp/file")).split("\n")
        assert words[0] == "Disk quota exceeded" and (size - 4) << 20 < int(words[1]) < size << 20
        # What it prints is its own, too.
        assert sandbox.commands.run("head -c 8000000 /dev/zero > /proc/1/fd/1").exit_code != 0
        assert sandbox.commands.run("rm /tmp/file; for i in $(seq 5000); do : > /tmp/$i || exit 7; done").exit_code == 7
        say(sandbox, "rm /tmp/*")
        sandbox.files.write_file("/tmp/leave.py", LEAVE)
        assert say(sandbox, "python3 /tmp/leave.py").split() == ["True", "True"]
    for sandbox in (one, two):
        sandbox.kill()
    eventually(lambda: not limited_projects(projects.state), what="the end of the limits")
