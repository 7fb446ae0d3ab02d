"""The server is killed while sandboxes with volumes are made and deleted. Files of volumes stay; nothing else does
(docs/threats.md, R6)."""

import random
import subprocess
import threading
import time

import httpx
import pytest
from support.server import BINARY, AllInOneServer
from support.inside import say
from support.length import times
from support.waiting import eventually
from test_crashes import connected

# Of the folder that sandboxes are given, which no end of theirs may touch.
KEPT = {"file": "kept\n", "folder/inner": "kept\n"}


@pytest.fixture
def store(world):
    server = AllInOneServer(world)
    shared = server.folder / "shared"
    for name, text in KEPT.items():
        (shared / name).parent.mkdir(parents=True, exist_ok=True)
        (shared / name).write_text(text)
    server.tables = f'[storage]\nallowed_host_paths = ["{shared}"]\nvolume_default_size = "16Mi"\n'
    server.write_configuration()
    server.shared = shared
    try:
        yield server.start()
    finally:
        for sandbox in server.ids():
            server.api.delete(f"/v1/sandboxes/{sandbox}")
        for name in names(server):
            volume(server, "remove", name)
        server.tear_down()


def volume(server, *words):
    return subprocess.run([BINARY, "volume", *words, "--config", str(server.config)], capture_output=True, text=True, timeout=60,
                          check=True, stdin=subprocess.DEVNULL).stdout


def names(server):
    return {line.split()[0] for line in volume(server, "list").splitlines()[1:]}


def volumes(server, number):
    return [{"name": "host", "mountPath": "/host", "host": {"path": str(server.shared)}},
            {"name": "kept", "mountPath": "/kept", "pvc": {"claimName": "kept"}},
            {"name": "own", "mountPath": "/host/own", "pvc": {"claimName": f"own-{number}", "deleteOnSandboxTermination": True}}]


def expect_all(server):
    for name, text in KEPT.items():
        assert (server.shared / name).read_text() == text


@pytest.mark.parametrize("seed", range(times(8)))
def test_whatever_was_being_made_or_deleted_files_of_volumes_stay_and_nothing_else(store, seed):
    store.api.post("/v1/sandboxes", json=store.body(volumes=volumes(store, "first"))).raise_for_status()
    first = connected(store, store.ids()[0])
    say(first, "echo kept > /kept/file")
    delay = random.Random(seed).uniform(0, 0.25)

    def act(number):
        try:
            with store.api as client:
                made = client.post("/v1/sandboxes", json=store.body(volumes=volumes(store, number))).json()
                if number % 2:
                    client.delete(f"/v1/sandboxes/{made['id']}")
        except (httpx.TransportError, KeyError):
            pass

    threads = [threading.Thread(target=act, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    # The moment is the test's parameter; nothing is waited for.
    time.sleep(delay)
    store.kill()
    for thread in threads:
        thread.join()
    expect_all(store)
    store.start()
    ids = store.ids()
    assert first.id in ids
    eventually(lambda: len(store.leftovers.folders()) == len(ids), what=f"the folders of {len(ids)} sandboxes")
    for name in ids:
        sandbox = connected(store, name)
        assert say(sandbox, "cat /kept/file /host/file; ls -d /host/own").split() == ["kept", "kept", "/host/own"]
    with store.api as client:
        for name in ids:
            assert client.delete(f"/v1/sandboxes/{name}").status_code == 204
    eventually(lambda: not store.leftovers.everything(), what="the end of everything but volumes")
    assert names(store) == {"kept"}, "volumes that go with a sandbox have gone"
    expect_all(store)
    files = [p for p in (store.state / "volumes").iterdir() if p.name.startswith(".new-")]
    assert not files
