"""The server is killed while snapshots are taken, deleted and restored. What was acknowledged is whole, what was not left
nothing, and no sandbox stays frozen (docs/threats.md, R14 and E22)."""

import random
import threading
import time

import httpx
import pytest
from opensandbox import SandboxSync
from support.inside import say
from support.length import times
from support.waiting import eventually

# Enough to be at work for some tenths of a second.
FILL = "mkdir /many && cd /many && seq 4000 | xargs touch && dd if=/dev/zero of=/big bs=1M count=100 status=none && sync"


def connected(server, name):
    return SandboxSync.connect(name, connection_config=server.connection())


def parts(server):
    """What there is of snapshots on the disk."""
    folder = server.state / "snapshots"
    return {kind: sorted(path.name.removesuffix(".json") for path in (folder / kind).glob("*"))
            for kind in ("records", "layers", "work")}


def states(server):
    with server.api as client:
        items = client.get("/v1/snapshots", params={"pageSize": 200}).json()["items"]
    return {item["id"]: (item["status"]["state"], item["status"]["reason"]) for item in items}


def restored(server, snapshot, command):
    """What a command says in a sandbox of a snapshot."""
    sandbox = SandboxSync.create(snapshot_id=snapshot, connection_config=server.connection(),
                                 resource={"cpu": "1", "memory": "256Mi"})
    server.seen.add(sandbox.id)
    try:
        return say(sandbox, command)
    finally:
        sandbox.kill()


@pytest.mark.parametrize("seed", range(times(8)))
def test_a_capture_that_is_cut_short_is_whole_or_has_failed(own_server, seed):
    sandbox = own_server.create()
    say(sandbox, FILL)
    moment, accepted = random.Random(seed), []

    def take():
        try:
            with own_server.api as client:
                accepted.append(client.post(f"/v1/sandboxes/{sandbox.id}/snapshots").json()["id"])
        except httpx.TransportError:
            pass

    thread = threading.Thread(target=take)
    thread.start()
    # The moment is the test's parameter; nothing is waited for.
    time.sleep(moment.uniform(0, 0.5))
    own_server.kill()
    thread.join()
    own_server.start()
    found = states(own_server)
    assert set(accepted) <= set(found), "what was accepted is known"
    for snapshot, (state, reason) in found.items():
        assert state in ("Ready", "Failed"), found
        if state == "Ready":
            assert restored(own_server, snapshot, "ls /many | wc -l; stat -c %s /big").split() == ["4000", str(100 << 20)]
        else:
            assert reason == "snapshot_recovery_missing_image"
    # Not frozen: the sandbox answers.
    assert say(connected(own_server, sandbox.id), "echo alive").strip() == "alive"
    whole = sorted(snapshot for snapshot, (state, _) in found.items() if state == "Ready")
    eventually(lambda: parts(own_server) == {"records": whole, "layers": whole, "work": []}, what="only what is known")
    with own_server.api as client:
        for snapshot in found:
            assert client.delete(f"/v1/snapshots/{snapshot}").status_code == 204
    eventually(lambda: not any(parts(own_server).values()), what="nothing of snapshots")


@pytest.mark.parametrize("seed", range(times(4)))
def test_a_deletion_that_is_cut_short_is_finished_and_disturbs_no_sandbox(own_server, seed):
    sandbox = own_server.create()
    say(sandbox, "echo one > /one")
    with own_server.api as client:
        taken = [client.post(f"/v1/sandboxes/{sandbox.id}/snapshots").json()["id"]]
        eventually(lambda: states(own_server)[taken[0]][0] == "Ready")
        taken.append(client.post(f"/v1/sandboxes/{sandbox.id}/snapshots").json()["id"])
        eventually(lambda: states(own_server)[taken[1]][0] == "Ready")
    user = SandboxSync.create(snapshot_id=taken[0], connection_config=own_server.connection(),
                              resource={"cpu": "1", "memory": "256Mi"})
    own_server.seen.add(user.id)
    gone = []

    def delete(snapshot):
        try:
            with own_server.api as client:
                if client.delete(f"/v1/snapshots/{snapshot}").status_code == 204:
                    gone.append(snapshot)
        except httpx.TransportError:
            pass

    threads = [threading.Thread(target=delete, args=(snapshot,)) for snapshot in taken]
    for thread in threads:
        thread.start()
    time.sleep(random.Random(seed).uniform(0, 0.04))
    own_server.kill()
    for thread in threads:
        thread.join()
    own_server.start()
    found = states(own_server)
    assert not set(gone) & set(found) and all(state == "Ready" for state, _ in found.values()), (gone, found)
    assert say(connected(own_server, user.id), "cat /one").strip() == "one"
    for snapshot in found:
        assert restored(own_server, snapshot, "cat /one").strip() == "one"
        with own_server.api as client:
            assert client.delete(f"/v1/snapshots/{snapshot}").status_code == 204
    with own_server.api as client:
        client.delete(f"/v1/sandboxes/{user.id}")
    eventually(lambda: not any(parts(own_server).values()), what="nothing of snapshots")


def test_a_snapshot_outlives_the_server_and_its_sandbox(own_server):
    sandbox = own_server.create()
    say(sandbox, "echo one > /one")
    with own_server.api as client:
        taken = client.post(f"/v1/sandboxes/{sandbox.id}/snapshots", json={"name": "kept"}).json()["id"]
        eventually(lambda: states(own_server)[taken][0] == "Ready")
        client.delete(f"/v1/sandboxes/{sandbox.id}")
        before = client.get(f"/v1/snapshots/{taken}").json()
        own_server.kill()
        own_server.start()
        assert client.get(f"/v1/snapshots/{taken}").json() == before
    assert restored(own_server, taken, "cat /one").strip() == "one"
    with own_server.api as client:
        assert client.delete(f"/v1/snapshots/{taken}").status_code == 204


def test_a_sandbox_that_was_held_or_paused_is_as_its_client_left_it(own_server):
    running, paused = own_server.create(), own_server.create()
    for sandbox in (running, paused):
        say(sandbox, FILL)
    paused.pause()
    with own_server.api as client:
        for sandbox in (running, paused):
            client.post(f"/v1/sandboxes/{sandbox.id}/snapshots")
    held = own_server.state / "sandboxes"
    eventually(lambda: list(held.glob("*/captured")) or all(s != "Creating" for s, _ in states(own_server).values()))
    own_server.kill()
    own_server.start()
    assert not list(held.glob("*/captured"))
    assert say(connected(own_server, running.id), "echo alive").strip() == "alive"
    with own_server.api as client:
        assert client.get(f"/v1/sandboxes/{paused.id}").json()["status"]["state"] == "Paused"
    again = SandboxSync.resume(paused.id, connection_config=own_server.connection())
    assert say(again, "echo alive").strip() == "alive"
    with own_server.api as client:
        for snapshot in states(own_server):
            client.delete(f"/v1/snapshots/{snapshot}")
