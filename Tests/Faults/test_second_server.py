"""Two servers that would share a folder, a name or an address: the second is refused, and takes nothing of the first away."""

import re
import subprocess

import httpx
import pytest
from support.server import BINARY, AllInOneServer, complaint, deny_but
from support.inside import fetches, resolves, say


def setting(config, key, value):
    changed, count = re.subn(rf"(?m)^{key} = .*$", f'{key} = "{value}"', config)
    assert count == 1, key
    return changed


def of(server, key):
    return re.search(rf'(?m)^{key} = "(.*)"$', server.config.read_text())[1]


def wider(server):
    """A block with the server's pool in it, and much more."""
    first, second = of(server, "address_pool").split(".")[:2]
    return f"{first}.{int(second) & 0xF8}.0.0/13"


SHARED = {
    "state_dir": lambda first: of(first, "state_dir"),
    "run_dir": lambda first: of(first, "run_dir"),
    "tag": lambda first: of(first, "tag"),
    "address_pool": wider,
    "address_pool_v6": lambda first: of(first, "address_pool_v6"),
}


@pytest.fixture
def second(world):
    server = AllInOneServer(world)
    yield server
    subprocess.run(["rm", "-rf", str(server.folder)], check=True)


def is_unharmed(first, sandbox):
    assert first.process.poll() is None
    assert httpx.get(f"{first.base}/health").status_code == 200
    assert first.leftovers.tables() and first.leftovers.namespaces()
    assert say(sandbox, "echo still") == "still"
    assert fetches(sandbox, "http://one.example/") and not resolves(sandbox, "two.example")
    # Over the socket in the run folder.
    assert [rule.target for rule in sandbox.get_egress_policy().egress] == ["one.example"]


def test_a_second_server_that_shares_one_thing_with_the_first_is_refused_and_harms_nothing(server, create, second):
    sandbox = create(network_policy=deny_but("one.example"))
    original = second.config.read_text()
    for key, shared in SHARED.items():
        second.config.write_text(setting(original, key, shared(server)))
        process = second.launch()
        try:
            assert process.wait(timeout=20) == 1, key
        finally:
            process.kill()
            process.wait()
        text = complaint(second.log.read_text())
        assert "another sallyport" in text and f"local.{key}" in text, (key, text)
        assert str(server.process.pid) in text, (key, text)
        is_unharmed(server, sandbox)


def test_servers_that_share_nothing_run_side_by_side(server, create, second):
    sandbox = create(network_policy=deny_but("one.example"))
    try:
        second.start()
        is_unharmed(server, sandbox)
    finally:
        second.tear_down()
        second.folder.mkdir()
    is_unharmed(server, sandbox)


def test_what_a_killed_server_held_is_free_at_once(own_server):
    own_server.kill()
    own_server.start()


def test_a_second_guard_in_the_same_run_folder_is_refused(server, create, second):
    sandbox = create(network_policy=deny_but("one.example"))
    second.config.write_text(setting(second.config.read_text(), "run_dir", of(server, "run_dir")))
    done = subprocess.run(
        [BINARY, "egress", "--config", str(second.config)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=20)
    assert done.returncode == 1 and "local.run_dir" in done.stderr, done.stderr
    is_unharmed(server, sandbox)
