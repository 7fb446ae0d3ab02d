"""The main job, end to end, with the official SDK."""

from support.server import deny_but
from support.inside import fetches, resolves, say


def test_a_guarded_sandbox_runs_commands_and_reaches_only_what_its_policy_names(create, world):
    sandbox = create(network_policy=deny_but("one.example"))
    assert sandbox.get_info().status.state == "Running"
    done = sandbox.commands.run("echo out; echo err >&2; exit 3")
    assert [m.text for m in done.logs.stdout] == ["out"]
    assert [m.text for m in done.logs.stderr] == ["err"]
    assert done.exit_code == 3
    sandbox.files.write_file("/tmp/note", "grüße\n")
    assert sandbox.files.read_file("/tmp/note") == "grüße\n"
    assert say(sandbox, "cat /tmp/note") == "grüße"
    assert fetches(sandbox, "http://one.example/")
    assert not resolves(sandbox, "two.example")
    assert not fetches(sandbox, f"http://{world.two}/")
    assert not fetches(sandbox, f"http://[{world.two_v6}]/")
