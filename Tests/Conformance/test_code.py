"""The official code interpreter against the base image, which has no Jupyter (docs/wire.md#code)."""

import asyncio
import threading

import httpx
import pytest
from code_interpreter import CodeInterpreter, CodeInterpreterSync, SupportedLanguage
from opensandbox import Sandbox
from opensandbox.config import ConnectionConfig
from opensandbox.exceptions import SandboxApiException
from opensandbox.models.execd_sync import ExecutionHandlersSync
from support.waiting import eventually


@pytest.fixture(scope="module")
def interpreter(server):
    """The client's readiness check passes: something listens where Jupyter would."""
    sandbox = server.create()
    yield CodeInterpreterSync.create(sandbox)
    sandbox.kill()
    sandbox.close()


def out(done):
    return "".join(message.text for message in done.logs.stdout)


@pytest.fixture
def context(interpreter):
    made = interpreter.codes.create_context(SupportedLanguage.PYTHON)
    yield made
    interpreter.codes.delete_context(made.id)


def test_a_value_and_what_was_printed_arrive(interpreter, context):
    done = interpreter.codes.run("import sys\nprint('a\\nb')\nprint('bad', file=sys.stderr)\n1 + 1", context=context)
    assert out(done) == "a\nb\n" and done.logs.stderr[0].text == "bad\n"
    assert [result.text for result in done.result] == ["2"] and done.execution_count == 1
    assert done.id == context.id and done.error is None and done.complete is not None


def test_variables_stay_in_their_context(interpreter, context):
    interpreter.codes.run("x = 41", context=context)
    assert interpreter.codes.run("x + 1", context=context).result[0].text == "42"
    other = interpreter.codes.create_context(SupportedLanguage.PYTHON)
    assert interpreter.codes.run("x", context=other).error.name == "NameError"
    interpreter.codes.delete_context(other.id)
    assert interpreter.codes.get_context(context.id).language == "python"
    with pytest.raises(SandboxApiException) as refused:
        interpreter.codes.get_context(other.id)
    assert refused.value.status_code == 404


def test_default_contexts_are_one_for_each_language(interpreter):
    interpreter.codes.run("y = 1", language="python")
    assert interpreter.codes.run("y", language="python").result[0].text == "1"
    interpreter.codes.run("z=one", language="bash")
    assert out(interpreter.codes.run("echo $z", language="bash")) == "one\n"
    assert len(interpreter.codes.list_contexts("bash")) == 1
    interpreter.codes.delete_contexts("bash")
    assert interpreter.codes.list_contexts("bash") == []
    assert out(interpreter.codes.run("echo ${z-none}", language="bash")) == "none\n"


def test_an_error_is_an_error_and_nothing_else(interpreter, context):
    done = interpreter.codes.run("1/0", context=context)
    assert done.error.name == "ZeroDivisionError" and done.error.traceback and done.complete is None


def test_an_interrupt_ends_a_run_and_not_its_context(interpreter, context):
    begun = threading.Event()
    done = []
    handlers = ExecutionHandlersSync(on_stdout=lambda message: begun.set())
    runner = threading.Thread(target=lambda: done.append(interpreter.codes.run(
        "kept = 7\nprint('begun', flush=True)\nimport time\ntime.sleep(100)", context=context, handlers=handlers)))
    runner.start()
    assert begun.wait(30)
    interpreter.codes.interrupt(context.id)
    runner.join(30)
    assert done[0].error.name == "KeyboardInterrupt"
    assert interpreter.codes.run("kept", context=context).result[0].text == "7"


def test_a_context_that_forgot_its_memory_limit_says_so_and_goes_on(interpreter, context):
    done = interpreter.codes.run("x = bytearray(2_000_000_000)\nx[::4096] = b'1' * len(x[::4096])", context=context)
    assert done.error.name == "KernelDied" and "memory limit of 256 MiB" in done.error.value
    assert interpreter.codes.run("1 + 1", context=context).result[0].text == "2"


def test_a_large_result_arrives_and_execd_lives(interpreter, context):
    for _ in range(3):
        done = interpreter.codes.run("'x' * 1_900_000", context=context)
        assert len(done.result[0].text) == 1_900_002
    pids = interpreter.sandbox.commands.run("pgrep -f -- --serve").text
    done = interpreter.codes.run("for i in range(40): display('y' * 1_000_000)", context=context)
    assert len(done.result) == 40 and interpreter.sandbox.commands.run("pgrep -f -- --serve").text == pids


def test_code_has_the_place_of_commands_in_the_sandbox(interpreter, context):
    """Its processes are in the programs' group, and go first when memory runs out."""
    done = interpreter.codes.run(
        "open('/proc/self/oom_score_adj').read().strip(), open('/proc/self/cgroup').read()", context=context)
    command = interpreter.sandbox.commands.run(
        "cat /proc/self/oom_score_adj; cat /proc/self/cgroup").text.split("\n", 1)
    score, groups = eval(done.result[0].text)
    assert score == command[0] == "1000" and groups.strip() == command[1].strip()


@pytest.mark.parametrize("language", ["java", "cobol"])
def test_a_language_without_a_kernel_is_refused_at_once(interpreter, language):
    with pytest.raises(SandboxApiException) as refused:
        interpreter.codes.create_context(language)
    assert refused.value.status_code == (500 if language == "java" else 400)
    with pytest.raises(SandboxApiException):
        interpreter.codes.run("1", language=language)


def test_every_line_of_a_stream_is_a_bare_event(interpreter, context):
    endpoint = interpreter.sandbox.get_endpoint(44772)
    answer = httpx.post(
        f"http://{endpoint.endpoint}/code", headers=endpoint.headers or {}, timeout=30,
        json={"code": "print('\\u2028\\x85')\n1/0", "context": {"id": context.id, "language": "python"}})
    assert answer.headers["content-type"] == "text/event-stream"
    records = answer.text.split("\n\n")
    assert records.pop() == "" and all(record.startswith('{"') and "\n" not in record for record in records)


def test_the_asynchronous_client_works_alike(server, interpreter):
    async def use():
        config = ConnectionConfig(api_key=server.key, domain=f"127.0.0.1:{server.port}", disable_metrics=True)
        sandbox = await Sandbox.connect(interpreter.sandbox.id, connection_config=config)
        codes = (await CodeInterpreter.create(sandbox)).codes
        context = await codes.create_context("python")
        first, second = await asyncio.gather(
            *(codes.run("n = globals().get('n', 0) + 1\nn", context=context) for _ in range(2)))
        # Either may come first, and neither meets the other.
        assert sorted([first.result[0].text, second.result[0].text]) == ["1", "2"]
        assert [made.id for made in await codes.list_contexts("python")].count(context.id) == 1
        await codes.delete_context(context.id)
        await sandbox.close()

    asyncio.run(use())


def test_a_client_that_goes_takes_its_run_along(interpreter, context):
    endpoint = interpreter.sandbox.get_endpoint(44772)
    with httpx.stream("POST", f"http://{endpoint.endpoint}/code", headers=endpoint.headers or {}, json={
            "code": "print('begun', flush=True)\nimport time\ntime.sleep(1000)", "context": {"id": context.id}}) as stream:
        assert any("begun" in line for line in stream.iter_lines())
    eventually(lambda: interpreter.codes.run("2", context=context).result[0].text == "2", what="the context")


def test_code_that_floods_its_kernels_channel_stops_nobody_else(interpreter, context):
    flood = """
import os
if os.fork() == 0:
    for _ in range(20000):
        try:
            os.write(100, b"\\n" * 65536)
        except OSError:
            break
os._exit(0)
"""
    assert interpreter.codes.run(flood, context=context).error is not None
    assert out(interpreter.codes.run("echo $((1 + 1))", language="bash")) == "2\n"
    assert interpreter.codes.run("1 + 1", context=context).result[0].text == "2"


def test_many_quick_runs_have_one_end_each(interpreter, context):
    for number in range(500):
        done = interpreter.codes.run(f"{number} + 1", context=context)
        assert done.result[0].text == str(number + 1) and done.complete is not None and done.error is None
