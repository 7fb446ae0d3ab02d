"""Disks of sandboxes, and the server's own when it is full: nobody fills another's, and nothing acknowledged is lost."""

import subprocess

import pytest
from support.appliance import Appliance
from support.inside import say
from support.waiting import eventually

FILL = "dd if=/dev/zero of={} bs=1M 2>&1 | grep -o 'No space left on device'"


def used(path):
    return path.stat().st_blocks * 512


def test_a_limit_that_a_client_names_holds_before_and_after_the_server_is_killed(own_appliance):
    sandbox = own_appliance.create(resource={"cpu": "1", "memory": "256Mi", "disk": "64Mi"})
    (image,) = (own_appliance.state / "sandboxes").glob("*/disk.img")
    assert say(sandbox, FILL.format("/tmp/one")) == "No space left on device"
    assert say(sandbox, "df -B1M --output=size /tmp | tail -1").strip() in ("56", "57", "58", "59", "60", "61", "62", "63")
    own_appliance.kill()
    own_appliance.start()
    assert say(sandbox, "rm /tmp/one && echo kept > /root/kept && cat /root/kept") == "kept"
    assert say(sandbox, FILL.format("/root/two")) == "No space left on device"
    subprocess.run(["sync", "-f", str(image.parent / "disk")], check=True)
    assert used(image) <= 65 << 20
    sandbox.kill()
    eventually(lambda: not own_appliance.leftovers.disks(), what="the end of the loop device")


@pytest.mark.parametrize("resource, text", [
    ({"disk": "1Mi"}, "disk"), ({"ephemeral-storage": "lots"}, "ephemeral-storage"),
    ({"disk": "64Mi", "ephemeral-storage": "65Mi"}, "two things"), ({"disk": "100Ti"}, "disk"),
    ({"disk": "-1"}, "disk"), ({"disk": "1e400"}, "disk")])
def test_a_disk_that_cannot_be_is_refused_by_name(appliance, api, resource, text):
    answer = api.post("/v1/sandboxes", json=appliance.body(resourceLimits=resource))
    assert answer.status_code == 400 and text in answer.json()["message"], answer.text


@pytest.fixture
def small(world):
    """An appliance whose state is on a file system of 160 MiB."""
    appliance = Appliance(world, local={"disk_reserve": '"32Mi"', "disk": '"64Mi"'})
    appliance.state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(appliance.state)], check=True)
    try:
        yield appliance.start()
    finally:
        try:
            (appliance.state / "ballast").unlink(missing_ok=True)
            # The mount is the test's.
            appliance.leftovers.mounts = lambda: []
            appliance.tear_down()
        finally:
            subprocess.run(["umount", "-l", str(appliance.state)], capture_output=True)
            subprocess.run(["rm", "-rf", str(appliance.folder)], check=True)


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
