"""The server is killed at random moments while clients create, delete, snapshot, restore, take from a pool and mount volumes, all at
once. Nothing acknowledged is lost, what was not is nothing or whole, nothing leaks, and no policy is lifted, also while
there is no server: every sandbox tries all the time to leave (docs/threats.md, E19 and E22)."""

import json
import os
import pathlib
import random
import signal
import threading
import time

import httpx
import pytest
from support.inside import say
from support.leftovers import name_of
from support.length import LENGTH, times
from support.parts import part
from support.server import AllInOneServer
from support.waiting import answers, eventually
from test_crashes import connected
from test_pools import capacity, processes, template
from test_snapshot_crashes import parts, restored, states
from test_volume_kills import names, volume

# In groups, each with a server of its own: 8 in `make test`, 200 in `make test-long`.
KILLS_OF_A_SERVER = 8
SEEDS = (times(8) if LENGTH < 10 else times(20)) // KILLS_OF_A_SERVER
MOST_SANDBOXES = 8

# Tries to reach what the policy denies, without end, and says how often, and how often it did.
PROBER = """
import os, socket, time
tries = opened = 0
while True:
    try:
        socket.create_connection((os.environ["TARGET"], 7), 0.5).close()
        opened += 1
    except OSError:
        pass
    tries += 1
    with open("/tmp/probe.new", "w") as file:
        file.write(f"[{tries}, {opened}]")
    os.rename("/tmp/probe.new", "/tmp/probe")
    time.sleep(0.03)
"""
POLICY = {"defaultAction": "deny", "egress": [{"action": "allow", "target": "one.example"}]}


def probe(sandbox):
    """How often a sandbox has tried and got out; None where it has not begun. Needs no server."""
    for pid in processes({name_of(sandbox)}):
        if found := answers(lambda: json.loads(pathlib.Path(f"/proc/{pid}/root/tmp/probe").read_text()), OSError, ValueError):
            return found
    return None


class Clients:
    """What clients do, and what they know: `promised` is there, `asked` may be on its way out, `gone` is not there any more."""

    def __init__(self, server, world, seed):
        self.server, self.random = server, random.Random(seed)
        self.target = world.two
        self.lock = threading.Lock()
        self.promised, self.asked, self.gone = set(), set(), set()
        self.snapshots, self.dropped, self.dropped_for_good = set(), set(), set()
        self.ever_dropped, self.restorable, self.number, self.surprises = set(), set(), 0, []

    def body(self, kind):
        with self.lock:
            self.number += 1
            number = self.number
        body = self.server.body(
            networkPolicy=POLICY, entrypoint=["python3", "-c", PROBER], env={"TARGET": self.target}, timeout=3600)
        if kind == "pool":
            del body["image"], body["resourceLimits"]
            body["extensions"] = {"poolRef": "warm"}
        if kind == "volumes":
            body["volumes"] = [
                {"name": "kept", "mountPath": "/kept", "pvc": {"claimName": "kept"}},
                {"name": "own", "mountPath": "/own", "pvc": {"claimName": f"own-{number}", "deleteOnSandboxTermination": True}}]
        if kind == "restore" and self.restorable:
            del body["image"]
            body["snapshotId"] = self.random.choice(sorted(self.restorable))
        return body

    def create(self, client, kind):
        answer = client.post("/v1/sandboxes", json=self.body(kind))
        if answer.status_code == 202:
            with self.lock:
                self.promised.add(answer.json()["id"])
        elif answer.status_code not in (404, 409, 429):
            self.surprises.append((kind, answer.status_code, answer.text))

    def delete(self, client):
        with self.lock:
            free = sorted(self.promised - self.asked - {self.witness})
            if not free:
                return
            sandbox = self.random.choice(free)
            self.asked.add(sandbox)
        if client.delete(f"/v1/sandboxes/{sandbox}").status_code == 204:
            with self.lock:
                self.gone.add(sandbox)

    def snapshot(self, client):
        with self.lock:
            free = sorted(self.restorable - self.dropped)
        if len(free) > 2:
            with self.lock:
                self.dropped.add(free[0])
                self.ever_dropped.add(free[0])
            if client.delete(f"/v1/snapshots/{free[0]}").status_code == 204:
                with self.lock:
                    self.dropped_for_good.add(free[0])
        answer = client.post(f"/v1/sandboxes/{self.witness}/snapshots")
        if answer.status_code == 202:
            with self.lock:
                self.snapshots.add(answer.json()["id"])
        elif answer.status_code != 409:
            self.surprises.append(("snapshot", answer.status_code, answer.text))
        time.sleep(0.02)

    def act(self, seed, stop, works):
        choice = random.Random(seed)
        try:
            with self.server.api as client:
                while not stop.is_set():
                    work = choice.choice(works)
                    if work == "snapshot":
                        self.snapshot(client)
                    elif work == "delete" or len(self.promised - self.asked) >= MOST_SANDBOXES:
                        self.delete(client)
                    else:
                        self.create(client, work)
        except (httpx.TransportError, httpx.RemoteProtocolError):
            pass


@pytest.fixture
def loaded(world):
    """A server with a pool, and a folder of volumes."""
    server = AllInOneServer(world, tables='[storage]\nvolume_default_size = "16Mi"\n')
    try:
        server.start()
        body = {"name": "warm", "template": template(), "capacitySpec": capacity(2, most=30)}
        server.api.post("/v1/pools", json=body).raise_for_status()
        yield server
    finally:
        if server.process.poll() is not None:
            server.start()
        server.api.delete("/v1/pools/warm")
        for sandbox in server.ids():
            server.api.delete(f"/v1/sandboxes/{sandbox}")
        eventually(lambda: not server.leftovers.folders(), what="the end of sandboxes")
        for name in names(server):
            volume(server, "remove", name)
        server.tear_down()


def kill(server, whole):
    """The whole server, or the one process that has the API and the runtime, which its supervisor starts again."""
    if whole:
        return server.kill()
    process = eventually(lambda: part(server, "server"), what="the process")
    os.kill(process, signal.SIGKILL)
    eventually(lambda: part(server, "server") not in (None, process), what="its successor")


def expect_what_was_promised(server, clients):
    ids = set(server.ids())
    assert clients.promised - clients.asked <= ids, f"lost: {clients.promised - clients.asked - ids}"
    assert not clients.gone & ids, f"came back: {clients.gone & ids}"
    with server.api as client:
        def unfinished():
            items = [client.get(f"/v1/sandboxes/{sandbox}").json() for sandbox in server.ids()]
            return [item for item in items if item.get("status", {}).get("state") != "Running"]

        eventually(lambda: not unfinished(), what=f"whole sandboxes: {unfinished()}")
    # Of what was begun and not answered some is there, whole; of what was to be deleted, too: it can be asked for again.
    clients.promised = set(server.ids())
    clients.asked &= clients.gone


def expect_nothing_else(server, clients):
    left = server.leftovers

    def parts_of_sandboxes():
        waiting = server.api.get("/v1/pools/warm").json()["status"]["available"]
        known = {name_of(sandbox) for sandbox in server.ids()}
        folders = set(left.folders())
        return known <= folders and waiting == 2 and len(folders) == len(left.namespaces()) == len(left.links()) == len(known) + 2

    eventually(parts_of_sandboxes, what=f"only what is known: {left.everything()}")


def expect_snapshots(server, clients):
    eventually(lambda: all(state != "Creating" for state, _ in states(server).values()), what="the end of captures")
    found = states(server)
    assert clients.snapshots - clients.dropped <= set(found), "what was accepted is known"
    assert not clients.dropped_for_good & set(found)
    for state, reason in found.values():
        assert state == "Ready" or (state, reason) == ("Failed", "snapshot_recovery_missing_image"), found
    clients.restorable = {name for name, (state, _) in found.items() if state == "Ready"}
    clients.snapshots = set(found)
    clients.dropped &= clients.dropped_for_good

    def is_tidy():
        there = parts(server)
        beyond = set(there["layers"]) - clients.restorable
        # A layer stays while a sandbox stands on it.
        return set(there["records"]) == clients.restorable <= set(there["layers"]) and not there["work"] and beyond <= clients.ever_dropped

    eventually(is_tidy, what=f"only what is known of snapshots: {clients.restorable}, {parts(server)}")


def expect_attempts(server, clients):
    """While there is no server sandboxes go on trying, but for one that stands still for a capture until the next server."""
    before = {sandbox: found for sandbox in clients.promised - clients.asked if (found := probe(sandbox))}
    held = list((server.state / "sandboxes").glob("*/captured"))
    eventually(lambda: held or any((probe(sandbox) or [0])[0] > tries + 2 for sandbox, (tries, _) in before.items()),
               what="attempts while there is no server")
    for sandbox in before:
        assert (probe(sandbox) or [0, 0])[1] == 0, f"{sandbox} got out while there was no server"


def expect_everybody_inside(clients, world, heard):
    """Every sandbox has tried, and none was let out."""
    for sandbox in clients.promised:
        tries, opened = eventually(lambda: probe(sandbox), what=f"an attempt of {sandbox}")
        assert tries and not opened, f"{sandbox} got out {opened} times of {tries}"
    assert world.heard(f"tcp {world.two} 7") == heard


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_was_going_on_a_kill_loses_nothing_leaves_nothing_and_lets_nobody_out(loaded, world, seed):
    moment, clients, heard = random.Random(seed), Clients(loaded, world, seed), world.heard(f"tcp {world.two} 7")
    with loaded.api as client:
        first = client.post("/v1/sandboxes", json=clients.body("volumes")).json()["id"]
        clients.promised.add(first)
        clients.witness = first
    say(connected(loaded, first), "echo kept > /kept/file; echo one > /one; dd if=/dev/zero of=/big bs=1M count=8 status=none; sync")
    for number in range(KILLS_OF_A_SERVER):
        stop = threading.Event()
        works = [["plain", "pool", "volumes", "restore", "delete"]] * 3 + [["snapshot"]]
        threads = [threading.Thread(target=clients.act, args=(1000 * seed + 10 * number + n, stop, work))
                   for n, work in enumerate(works)]
        for thread in threads:
            thread.start()
        # The moment is the test's parameter; nothing is waited for.
        time.sleep(moment.uniform(0, 0.5))
        kill(loaded, whole := moment.random() < 0.7)
        stop.set()
        for thread in threads:
            thread.join()
        assert not clients.surprises, clients.surprises
        if whole:
            expect_attempts(loaded, clients)
            loaded.start()
        else:
            eventually(loaded._is_up, what="the server")
        expect_what_was_promised(loaded, clients)
        expect_everybody_inside(clients, world, heard)
        expect_snapshots(loaded, clients)
        expect_nothing_else(loaded, clients)
        assert say(connected(loaded, first), "cat /kept/file /one").split() == ["kept", "one"]
    if clients.restorable:
        assert restored(loaded, sorted(clients.restorable)[0], "cat /one; stat -c %s /big").split() == ["one", str(8 << 20)]
    with loaded.api as client:
        for sandbox in loaded.ids():
            assert client.delete(f"/v1/sandboxes/{sandbox}").status_code == 204
    eventually(lambda: parts(loaded)["layers"] == parts(loaded)["records"], what="the end of layers that nothing stands on")
    eventually(lambda: names(loaded) == {"kept"}, what="volumes go with their sandboxes, but for those that stay")
