"""`sallyport uninstall` ends what outlives a server, and removes what that has left (docs/server.md#uninstall)."""

import contextlib
import json
import os
import pathlib
import sqlite3
import subprocess

import pytest
from support.leftovers import GROUPS, name_of
from support.server import BINARY, deny_but
from support.waiting import answers, eventually


def uninstall(server, *words, through=(), status=0):
    done = subprocess.run([*through, BINARY, "uninstall", "--config", str(server.config), *words], capture_output=True, text=True,
                          timeout=120, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"}, stdin=subprocess.DEVNULL)
    assert done.returncode == status, done
    return done.stdout + done.stderr


def tables():
    listed = json.loads(subprocess.run(["nft", "-j", "list", "tables"], capture_output=True, text=True, check=True).stdout)
    return {entry["table"]["name"] for entry in listed["nftables"] if "table" in entry}


def shared_traces(server):
    """What of a server is left where all of the machine have something, and the groups there that nothing is in."""
    # Other servers take theirs away meanwhile.
    ids = [link for link in pathlib.Path("/run/sallyport-ids").glob("*")
           if (answers(lambda: os.readlink(link), OSError) or "").startswith(str(server.state))]
    locks = pathlib.Path("/run/sallyport.locks").glob(f"*-tag-{server.tag}")
    groups = [group for name in ("sallyport", "sallyport-storage") for group in (GROUPS / name, *GROUPS.glob(f"*/{name}"))]
    empty = [group for group in groups
             if group.is_dir() and not any(group.glob("*/")) and not (group / "cgroup.procs").read_text()]
    return [str(path) for path in (*ids, *locks, *empty)]


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
    assert not shared_traces(left_behind)
    assert "removed" in uninstall(left_behind, "--yes"), "it can be done again"


def test_sandboxes_whose_records_cannot_be_read_go_too(left_behind):
    row, both = left_behind.seen
    with contextlib.closing(sqlite3.connect(left_behind.state / "sallyport.db")) as database, database:
        assert database.execute("update sandbox set document = '{'").rowcount == 2
    (left_behind.state / "sandboxes" / name_of(both) / "sandbox.json").write_text("{")
    said = uninstall(left_behind, "--yes", "--state")
    assert f"removed the sandbox {row}" in said and f"removed the sandbox {name_of(both)}" in said, said
    left = left_behind.leftovers
    assert not left.processes() and not left.namespaces() and not left.mounts() and not left_behind.state.exists()


def test_sandboxes_of_a_lost_database_go_too(left_behind):
    for file in left_behind.state.glob("sallyport.db*"):
        file.unlink()
    uninstall(left_behind, "--yes")
    left = left_behind.leftovers
    assert not left.processes() and not left.namespaces() and not left.mounts()


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
