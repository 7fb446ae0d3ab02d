"""An agent developer with SDK and command line: a first sandbox, files, output as it comes, a policy that grows from what was seen,
a snapshot, and the mistakes on the way (README.md, docs/cli.md)."""

import asyncio
import json
from datetime import timedelta

from opensandbox import Sandbox, SandboxSync
from opensandbox.config import ConnectionConfig
from opensandbox.models.execd import ExecutionHandlers, RunCommandOpts
from opensandbox.models.sandboxes import NetworkPolicy, NetworkRule
from support.inside import fetches, resolves, say
from support.pages import Reader
from support.server import IMAGE
from support.waiting import eventually


async def first_sandbox(connection):
    """With the SDK: made, used, its policy changed, and left to the command line."""
    sandbox = await Sandbox.create(
        IMAGE, connection_config=connection, timeout=timedelta(minutes=10), metadata={"agent": "first"},
        network_policy=NetworkPolicy(defaultAction="deny", egress=[NetworkRule(action="allow", target="one.example:80")]))
    lines = []

    async def take(message):
        lines.append(message.text)

    done = await sandbox.commands.run("for i in 1 2 3; do echo line $i; done; exit 4", handlers=ExecutionHandlers(on_stdout=take))
    assert ("".join(lines).split("\n"), done.exit_code) == (["line 1", "line 2", "line 3"], 4)
    await sandbox.files.write_file("/tmp/task.py", "print(sum(range(10)))\n")
    assert (await sandbox.commands.run("python3 /tmp/task.py")).text == "45"
    late = await sandbox.commands.run("sleep 100", opts=RunCommandOpts(timeout=timedelta(seconds=1)))
    assert late.exit_code != 0 or late.error, "a command that takes too long ends"
    await sandbox.patch_egress_rules([NetworkRule(action="allow", target="three.example")])
    assert {rule.target for rule in (await sandbox.get_egress_policy()).egress} == {"one.example:80", "three.example"}
    await sandbox.close()
    return sandbox.id


def test_an_agents_sandbox_from_its_first_line_to_its_last(installed, tmp_path):
    server = installed()
    reader = Reader(server, tmp_path)
    connection = server.connection()
    name = asyncio.run(first_sandbox(ConnectionConfig(
        domain=connection.domain, api_key=server.key, disable_metrics=True)))
    server.seen.add(name)

    # The same sandbox from a shell.
    (tmp_path / "in.txt").write_text("from outside\n")
    reader.type(f"sallyport sandbox cp in.txt {name}:/tmp/")
    assert reader.type(f"sallyport sandbox exec {name} -- cat /tmp/in.txt") == "from outside\n"
    reader.type(f"sallyport sandbox exec {name} -- sh -c 'echo result > /tmp/out.txt'; sallyport sandbox cp {name}:/tmp/out.txt out.txt")
    assert (tmp_path / "out.txt").read_text() == "result\n"
    reader.type(f"sallyport sandbox exec {name} -- sh -c 'exit 9'", status=9)
    assert name in reader.type("sallyport sandbox list --label agent=first -o name")

    # The mistakes of a first hour: each says what to do.
    assert "not found" in reader.type("sallyport sandbox get no-such-one", status=66)
    assert "did you mean sandbox?" in reader.type("sallyport sandbx list", status=64)
    assert "docker.io/library/python:3.11" in reader.type("sallyport sandbox create python:3.11", status=1)
    assert "10m" in reader.type(f"sallyport sandbox create --timeout soon {IMAGE}", status=64)
    assert "x.example" in reader.type(f"sallyport policy patch {name} --allow https://x.example/path", status=1)
    said = reader.type("OPEN_SANDBOX_API_KEY=m1staken sallyport sandbox list", status=77)
    assert "sallyport key create" in said and "m1staken" not in said
    assert "Is the server running" in reader.type("OPEN_SANDBOX_DOMAIN=127.0.0.1:1 sallyport status", status=69)

    # A policy from what the agent did: observed, suggested, put in force.
    (tmp_path / "observe.json").write_text('{"mode": "observe"}')
    seen = reader.type(f"sallyport sandbox create --policy observe.json --timeout 10m {IMAGE}").strip()
    sandbox = SandboxSync.connect(seen, connection_config=connection)
    server.seen.add(seen)
    assert fetches(sandbox, "http://two.example/")
    assert "nothing of its policy is enforced" in reader.type(f"sallyport policy explain {seen} two.example || true")
    assert "nothing is enforced" in reader.type(f"sallyport policy suggest {seen} > suggested.json")
    assert "two.example" in json.dumps(json.loads((tmp_path / "suggested.json").read_text())["egress"])
    reader.type(f"sallyport policy set {seen} suggested.json")
    assert fetches(sandbox, "http://two.example/") and not resolves(sandbox, "three.example")

    # What was prepared once, many times.
    say(sandbox, "echo installed > /srv/tool")
    sandbox.pause()
    assert "Paused" in reader.type(f"sallyport sandbox get {seen}")
    reader.type(f"sallyport sandbox resume {seen}")
    snapshot = server.api.post(f"/v1/sandboxes/{seen}/snapshots", json={"name": "prepared"}).json()["id"]
    eventually(lambda: server.api.get(f"/v1/snapshots/{snapshot}").json()["status"]["state"] == "Ready", what="the snapshot")
    copies = reader.type(f"sallyport sandbox create --snapshot {snapshot}; sallyport sandbox create --snapshot {snapshot}").split()
    server.seen |= set(copies)
    for copy in copies:
        assert reader.type(f"sallyport sandbox exec {copy} -- cat /srv/tool") == "installed\n"
    reader.type(f"sallyport sandbox kill {name} {seen} {' '.join(copies)}")
    assert server.api.delete(f"/v1/snapshots/{snapshot}").status_code == 204
    sandbox.close()
