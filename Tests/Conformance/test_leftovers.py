"""The count of what is left sees a sandbox, so that it can also see one that was left behind."""

from support.leftovers import GROUPS

KINDS = {"namespaces", "links", "mounts", "processes", "folders", "policies", "rows", "groups", "containers"}


def test_everything_that_a_sandbox_consists_of_is_counted_and_goes_with_it(appliance):
    before = appliance.leftovers.everything(appliance.seen)
    sandbox = appliance.create()
    try:
        found = appliance.leftovers.everything({sandbox.id})
        assert found.keys() == KINDS
        assert all(len(found[kind]) > len(before.get(kind, ())) for kind in KINDS), (before, found)
        assert appliance.leftovers.tables()
    finally:
        sandbox.kill()
        sandbox.close()
    after = appliance.leftovers.everything({sandbox.id})
    assert not any(sandbox.id[:13] in str(thing) for things in after.values() for thing in things)
    assert {kind: len(things) for kind, things in after.items()} == {
        kind: len(things) for kind, things in before.items()}


def test_an_empty_control_group_is_seen(appliance):
    group = next(path for path in (GROUPS / "pids/sallyport", GROUPS / "sallyport") if path.exists()) / "left-behind"
    group.mkdir()
    try:
        assert any("left-behind" in name for name in appliance.leftovers.groups())
    finally:
        group.rmdir()
