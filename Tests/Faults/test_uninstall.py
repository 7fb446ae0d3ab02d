"""`sallyport uninstall` ends what outlives a server, and removes what that has left (docs/server.md#uninstall)."""

import json
import os
import subprocess

import pytest
from support.server import BINARY, deny_but
from support.waiting import eventually


def uninstall(server, *words, through=(), status=0):
    done = subprocess.run([*through, BINARY, "uninstall", "--config", str(server.config), *words], capture_output=True, text=True,
                          timeout=120, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"}, stdin=subprocess.DEVNULL)
    assert done.returncode == status, done
    return done.stdout + done.stderr


def tables():
    listed = json.loads(subprocess.run(["nft", "-j", "list", "tables"], capture_output=True, text=True, check=True).stdout)
    return {entry["table"]["name"] for entry in listed["nftables"] if "table" in entry}


@pytest.fixture
def left_behind(own_server):
    """A server that has ended, and two sandboxes that have not."""
    for policy in (deny_but("one.example"), None):
        own_server.create(network_policy=policy).close()
    own_server.stop()
    assert own_server.leftovers.processes() and own_server.leftovers.namespaces()
    yield own_server
    own_server.start()


def test_nothing_goes_until_it_is_said(left_behind):
    said = uninstall(left_behind, status=1)
    assert "every sandbox" in said and "--yes" in said and str(left_behind.state) in said
    assert left_behind.leftovers.processes() and (left_behind.folder / "run").exists()


def test_sandboxes_rules_and_sockets_go_and_what_is_kept_stays(left_behind):
    ids = left_behind.seen
    said = uninstall(left_behind, "--yes")
    assert all(f"removed the sandbox {name}" in said for name in ids)
    left = left_behind.leftovers
    assert not left.processes() and not left.namespaces() and not left.mounts()
    # The kernel takes a link away with its namespace, a moment later.
    eventually(lambda: not left.links(), what="the end of the links")
    assert not (left_behind.folder / "run").exists() and (left_behind.state / "secrets").exists()
    assert not {name for name in tables() if left.tag in name}
    assert "removed" in uninstall(left_behind, "--yes"), "it can be done again"


def test_with_state_nothing_is_left(left_behind):
    uninstall(left_behind, "--yes", "--state")
    assert not left_behind.state.exists() and not (left_behind.folder / "run").exists()


def test_a_server_that_runs_refuses_it(own_server):
    sandbox = own_server.create()
    assert "another sallyport" in uninstall(own_server, "--yes", "--state", status=1)
    assert sandbox.commands.run("echo still here").logs.stdout[0].text == "still here"
    sandbox.close()


def test_who_is_not_root_is_told(left_behind):
    os.chmod(left_behind.folder, 0o755)
    os.chmod(left_behind.config, 0o644)
    said = uninstall(left_behind, "--yes", through=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], status=77)
    assert "root" in said and left_behind.leftovers.processes()
