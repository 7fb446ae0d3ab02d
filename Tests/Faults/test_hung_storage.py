"""Storage that does not answer holds nobody up but who uses it: deletions of others, the server's end and its start
(docs/volumes.md#storage-that-does-not-answer)."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys

import pytest
from opensandbox.models.execd import RunCommandOpts
from support.server import AllInOneServer
from support.waiting import eventually

pytestmark = pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="the machine has no /dev/fuse")


PROGRAM = pathlib.Path(__file__).parent / "hanging_files.py"


class HangingFiles:
    """Such files at a folder, until `end`."""

    def __init__(self, folder, log):
        self.folder, self.log = pathlib.Path(folder), pathlib.Path(log)
        self.folder.mkdir(parents=True)
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, self.folder, self.log], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        eventually(lambda: self.folder.is_mount() and self.log.exists(), what="the files")

    def wait_until_asked(self, times=1):
        eventually(lambda: self.log.read_text().count("asked") >= times, what="a read that hangs")

    def end(self):
        """Whoever waits gets an error."""
        self.process.kill()
        self.process.wait()
        subprocess.run(["umount", "--lazy", self.folder], capture_output=True)


@pytest.fixture
def store(world):
    # Files of FUSE have no other owners for a sandbox.
    server = AllInOneServer(world, local={"user_namespaces": '"off"'})
    server.files = HangingFiles(server.folder / "shared/hanging", server.folder / "hanging.log")
    server.tables = f'[storage]\nallowed_host_paths = ["{server.folder}/shared"]\n'
    server.write_configuration()
    try:
        yield server.start()
    finally:
        server.files.end()
        server.tear_down()


def hung(server, times):
    """The id of a sandbox of which one process waits for a file of its own, in the kernel."""
    from opensandbox.models.sandboxes import Host, Volume

    sandbox = server.create(volumes=[Volume(name="v", host=Host(path=str(server.files.folder)), mount_path="/mnt/v")])
    sandbox.commands.run(f"exec cat /mnt/v/hang-{times}", opts=RunCommandOpts(background=True))
    server.files.wait_until_asked(times)
    sandbox.close()
    return sandbox.id


def deleted(server, sandbox):
    with server.api as api:
        return api.delete(f"/v1/sandboxes/{sandbox}")


def events(server, sandbox):
    with server.api as api:
        return api.get(f"/v1/sandboxes/{sandbox}/diagnostics/events", params={"scope": "all"}).text


def test_a_deletion_that_storage_holds_up_is_answered_goes_on_and_holds_up_nobody(store):
    waiting = [hung(store, times) for times in (1, 2)]
    with concurrent.futures.ThreadPoolExecutor(len(waiting)) as threads:
        held = [threads.submit(deleted, store, sandbox) for sandbox in waiting]
        eventually(lambda: "a deleted sandbox do not end yet" in store.log.read_text(), what="the first to be held up")
        others = [store.create() for _ in range(3)]
        for other in others:
            assert deleted(store, other.id).status_code == 204
            other.close()
        for deletion in held:
            said = deletion.result()
            assert said.status_code == 500 and "may not answer" in said.json()["message"], said.text
    assert "attempt 1 to delete it failed" in events(store, waiting[0])
    with store.api as api:
        assert api.get(f"/v1/sandboxes/{waiting[0]}").json()["status"]["state"] == "Stopping"
        assert api.get("/v1/sandboxes").status_code == 200
    # The server ends as always, and starts with other sandboxes in use.
    kept = store.create()
    store.stop()
    assert store.process.returncode == 0
    store.start()
    assert deleted(store, kept.id).status_code == 204
    kept.close()
    store.files.end()
    with store.api as api:
        eventually(lambda: all(
            api.get(f"/v1/sandboxes/{sandbox}/diagnostics/events", params={"scope": "all"}).status_code == 404
            for sandbox in waiting), within=60, what="the end of the deletions")
