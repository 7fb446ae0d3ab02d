"""Every public name of the official clients' sandboxes and code interpreters is used, in both flavours: here, or in a test that is named."""

import asyncio
import collections
import inspect
import io
import pathlib
import re
from datetime import timedelta

import pytest
from code_interpreter import CodeInterpreter, CodeInterpreterSync
from opensandbox import Sandbox, SandboxSync
from opensandbox.config import ConnectionConfig
from opensandbox.exceptions import SandboxApiException
from opensandbox.models.execd import RunCommandOpts
from opensandbox.models.filesystem import (
    ContentReplaceEntry, DirectoryListEntry, MoveEntry, SearchEntry, SetPermissionEntry, WriteEntry)
from support.waiting import PAUSE, patient

# What needs more than one sandbox without a policy, and where it is used.
ELSEWHERE = {
    "create": "test_surface.py", "get_egress_policy": "test_surface.py", "patch_egress_rules": "test_surface.py",
    "delete_egress_rules": "test_surface.py", "get_signed_endpoint": "test_gateway.py", "create_snapshot": "test_snapshots.py",
    "pause": "test_isolation.py", "resume": "test_lifecycle.py", "isolation": "test_isolated_sessions.py"}
# No server of ours has templates, or keeps credentials for a sandbox (docs/wire.md).
NOWHERE = {"create_from_template", "credential_vault"}
# What `destroy` calls.
WITHIN = {"kill", "close"}


class Used:
    """Stands for a client's object, and notes which of its names are asked for."""

    def __init__(self, target, names):
        self._target, self._names = target, names

    def __getattr__(self, name):
        self._names.add(name)
        return getattr(self._target, name)


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


async def now(value):
    """What a call returns, in either flavour."""
    return await value if inspect.isawaitable(value) else value


def begin(call, *words, **more):
    """A call that goes on."""
    if inspect.iscoroutinefunction(call):
        return asyncio.ensure_future(call(*words, **more))
    return asyncio.ensure_future(asyncio.to_thread(call, *words, **more))


async def until(question):
    """The first true answer; the test as a whole has a deadline."""
    while not (answer := await question()):
        await asyncio.sleep(PAUSE)
    return answer


async def use_commands(commands):
    async def text(command):
        return (await now(commands.run(command))).text

    done = await now(commands.run("echo out; exit 3"))
    status = await now(commands.get_command_status(done.id))
    assert (done.text, done.exit_code, status.exit_code, status.running) == ("out", 3, 3, False)

    background = await now(commands.run("echo begun; exec sleep 1000", opts=RunCommandOpts(background=True)))

    async def logs():
        found = await now(commands.get_background_command_logs(background.id))
        return found if "begun" in found.content else None

    assert (await until(logs)).cursor == len("begun\n")
    assert (await now(commands.get_command_status(background.id))).running
    await now(commands.interrupt(background.id))

    async def is_over():
        return not (await now(commands.get_command_status(background.id))).running

    await until(is_over)
    await now(commands.set_env("USED", "it's \"quoted\""))
    assert await text("echo \"$USED\"") == "it's \"quoted\""

    session = await now(commands.create_session(working_directory="/usr"))
    assert (await now(commands.run_in_session(session, "a=1; cd bin"))).exit_code == 0
    assert (await now(commands.run_in_session(session, "pwd; echo $a"))).text.split() == ["/usr/bin", "1"]
    await now(commands.delete_session(session))
    with pytest.raises(SandboxApiException) as gone:
        await now(commands.run_in_session(session, "true"))
    assert gone.value.status_code == 404


async def use_files(files, top):
    async def whole(stream):
        stream = await now(stream)
        return b"".join([part async for part in stream] if hasattr(stream, "__aiter__") else list(stream))

    async def there(*names):
        found = await now(files.get_file_info([f"{top}/{name}" for name in names]))
        return {path.removeprefix(f"{top}/"): (info.mode, info.entry_type) for path, info in found.items()}

    await now(files.create_directories([WriteEntry(path=f"{top}/folder", mode=700)]))
    await now(files.write_file(f"{top}/one.txt", "one\ntwo\n", mode=640))
    await now(files.write_files([WriteEntry(path=f"{top}/folder/two.txt", data=io.BytesIO(b"2" * 70_000))]))
    assert await there("folder", "one.txt") == {"folder": (700, "directory"), "one.txt": (640, "file")}
    assert await now(files.read_file(f"{top}/one.txt", offset=2, limit=1)) == "two"
    assert await now(files.read_bytes(f"{top}/one.txt", range_header="bytes=0-2")) == b"one"
    assert await whole(files.read_bytes_stream(f"{top}/folder/two.txt")) == b"2" * 70_000
    listed = await now(files.list_directory(DirectoryListEntry(path=top)))
    assert {info.path for info in listed} == {f"{top}/folder", f"{top}/one.txt"}
    found = await now(files.search(SearchEntry(path=top, pattern="t*.txt")))
    assert [info.path for info in found] == [f"{top}/folder/two.txt"]
    change = [ContentReplaceEntry(path=f"{top}/one.txt", old_content="one", new_content="1")]
    assert [one.replaced_count for one in await now(files.replace_contents_detailed(change))] == [1]
    await now(files.replace_contents([ContentReplaceEntry(path=f"{top}/one.txt", old_content="two", new_content="2")]))
    assert await now(files.read_file(f"{top}/one.txt")) == "1\n2\n"
    await now(files.set_permissions([SetPermissionEntry(path=f"{top}/one.txt", mode=600)]))
    await now(files.move_files([MoveEntry(src=f"{top}/one.txt", dest=f"{top}/folder/three.txt")]))
    assert await there("folder/three.txt") == {"folder/three.txt": (600, "file")}
    await now(files.delete_files([f"{top}/folder/two.txt"]))
    await now(files.delete_directories([f"{top}/folder"]))
    assert await now(files.list_directory(DirectoryListEntry(path=top))) == []


async def use_codes(codes, files):
    context = await now(codes.create_context("python"))
    assert (await now(codes.get_context(context.id))).language == "python"
    assert [one.id for one in await now(codes.list_contexts("python"))] == [context.id]
    assert (await now(codes.run("40 + 2", context=context))).result[0].text == "42"
    running = begin(codes.run, "open('/tmp/begun', 'w').close(); import time; time.sleep(1000)", context=context)

    async def has_begun():
        return await now(files.search(SearchEntry(path="/tmp", pattern="begun")))

    await until(has_begun)
    await now(codes.interrupt(context.id))
    assert (await running).error.name == "KeyboardInterrupt"
    await now(codes.delete_context(context.id))
    await now(codes.create_context("python"))
    await now(codes.delete_contexts("python"))
    assert await now(codes.list_contexts("python")) == [] and await now(codes.ping())


async def use_sandbox(kind, interpreters, made, config, used):
    def note(name, target):
        return Used(target, used[name])

    used["sandbox"] |= {"connect"}
    sandbox = note("sandbox", await now(kind.connect(made, connection_config=config)))
    moment = {"timeout": timedelta(seconds=20), "polling_interval": timedelta(milliseconds=50)}
    await now(sandbox.check_ready(**moment))
    assert sandbox.id == made and sandbox.connection_config.api_key == config.api_key and sandbox.origin == "unknown"
    assert await now(sandbox.is_healthy()) and (await now(sandbox.get_info())).status.state == "Running"
    assert (await now(sandbox.get_endpoint(8000))).endpoint
    assert (await now(sandbox.get_metrics())).cpu_count == (await now(note("metrics", sandbox.metrics).get_metrics(made))).cpu_count
    renewed = await now(sandbox.renew(timedelta(minutes=9)))
    assert (await now(sandbox.patch_metadata({"used": "yes"}))).expires_at == renewed.expires_at
    diagnostics = note("diagnostics", sandbox.diagnostics)
    for events in (await now(sandbox.get_diagnostic_events("lifecycle")), await now(diagnostics.get_events(made, "lifecycle"))):
        assert "Running" in events.content
    for logs in (await now(sandbox.get_diagnostic_logs("container")), await now(diagnostics.get_logs(made, "container"))):
        assert logs.delivery == "inline"
    files = note("files", sandbox.files)
    await use_commands(note("commands", sandbox.commands))
    await use_files(files, "/srv/used")
    await now(sandbox.files_with_identity(1000, 1000).write_file("/tmp/owned", "x"))
    assert (await now(files.get_file_info(["/tmp/owned"])))["/tmp/owned"].owner == "sandbox"

    used["interpreter"] |= {"create"}
    interpreter = note("interpreter", await now(interpreters.create(sandbox._target)))
    await now(interpreter.check_ready(**moment))
    assert interpreter.id == interpreter.sandbox.id == made
    assert await now(interpreter.ping()) and await now(interpreter.is_healthy())
    assert (await now(interpreter.commands.run("echo x"))).text == "x"
    assert await now(interpreter.files.read_file("/tmp/owned")) == "x"
    assert (await now(interpreter.metrics.get_metrics(made))).cpu_count == 1
    await use_codes(note("codes", interpreter.codes), files)
    await now(interpreter.aclose() if "aclose" in public(interpreters) else interpreter.close())
    await now(sandbox.destroy())
    used["sandbox"] |= WITHIN


@pytest.mark.parametrize("kind, interpreters", [(Sandbox, CodeInterpreter), (SandboxSync, CodeInterpreterSync)], ids=["async", "sync"])
def test_every_method_of_a_client_is_answered(server, create, kind, interpreters):
    made, used = create(), collections.defaultdict(set)
    config = server.connection()
    if kind is Sandbox:
        config = ConnectionConfig(
            api_key=server.key, domain=f"127.0.0.1:{server.port}", disable_metrics=True, request_timeout=config.request_timeout)
    asyncio.run(asyncio.wait_for(use_sandbox(kind, interpreters, made.id, config, used), patient(60)))
    with server.api as api:
        assert api.get(f"/v1/sandboxes/{made.id}").status_code == 404
    assert public(kind) - used["sandbox"] == ELSEWHERE.keys() | NOWHERE
    flavour = "Sync" if kind is SandboxSync else ""
    for service in ("commands", "files", "metrics", "diagnostics"):
        names = public(service_type(kind, service, flavour))
        assert names and names - used[service] == set(), service
    assert public(interpreters) - used["interpreter"] == set()
    assert public(service_type(interpreters, "codes", flavour)) - used["codes"] == set()


def service_type(owner, name, flavour):
    """What the client's own documentation of a property says that it is."""
    module = inspect.getmodule(owner)
    kind = {"files": "Filesystem"}.get(name, name.capitalize()) + flavour
    return getattr(module, kind)


def test_what_is_used_elsewhere_is_used_there():
    here = pathlib.Path(__file__).parent
    assert [name for name, file in ELSEWHERE.items()
            if not re.search(rf"\.{name}\b", (here / file).read_text())] == []
