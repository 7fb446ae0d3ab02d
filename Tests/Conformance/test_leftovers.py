"""The count of what is left sees a sandbox, so that it can also see one that was left behind."""

from support.leftovers import GROUPS
from support.waiting import eventually

KINDS = {"namespaces", "links", "mounts", "processes", "folders", "policies", "rows", "groups", "containers"}


def test_everything_that_a_sandbox_consists_of_is_counted_and_goes_with_it(server):
    before = server.leftovers.everything(server.seen)
    sandbox = server.create()
    try:
        found = server.leftovers.everything({sandbox.id})
        new = {kind: set(found.get(kind, ())) - set(before.get(kind, ())) for kind in KINDS}
        assert all(new.values()), (before, found)
        assert server.leftovers.tables()
    finally:
        sandbox.kill()
        sandbox.close()

    def is_gone():
        after = server.leftovers.everything({sandbox.id})
        return not any(new[kind] & set(after.get(kind, ())) for kind in KINDS)

    # The kernel takes the link apart by itself, a moment later.
    eventually(is_gone, what="the end of all of it")


def test_an_empty_control_group_is_seen(server):
    group = next(path for path in (GROUPS / "pids/sallyport", GROUPS / "sallyport") if path.exists()) / "left-behind"
    group.mkdir()
    try:
        assert any("left-behind" in name for name in server.leftovers.groups())
    finally:
        group.rmdir()
