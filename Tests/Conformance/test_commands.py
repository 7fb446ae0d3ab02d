"""Commands and sessions, by the official SDK (docs/wire.md#commands)."""

import json
import threading
import time
from datetime import timedelta

import pytest
from opensandbox.exceptions import SandboxApiException
from opensandbox.models.execd import RunCommandOpts
from opensandbox.models.execd_sync import ExecutionHandlersSync
from support.inside import say
from support.waiting import eventually

SHARES_A_CONTAINER = True


def out(done):
    return "".join(message.text for message in done.logs.stdout)


def err(done):
    return "".join(message.text for message in done.logs.stderr)


@pytest.mark.parametrize("code", [0, 1, 3, 126, 255])
def test_the_exit_code_is_the_commands(sandbox, code):
    done = sandbox.commands.run(f"exit {code}")
    assert done.exit_code == code
    assert (done.error is None) == (code == 0) and (done.complete is not None) == (code == 0)


def test_standard_output_and_error_come_apart_and_whole(sandbox):
    done = sandbox.commands.run("for i in 1 2 3; do echo out$i; echo err$i >&2; done; printf tail")
    assert out(done).split() == ["out1", "out2", "out3", "tail"]
    assert err(done).split() == ["err1", "err2", "err3"]


def test_output_comes_while_the_command_runs(sandbox):
    seen = []
    handlers = ExecutionHandlersSync(on_stdout=lambda message: seen.append(message.text))
    runner = threading.Thread(target=lambda: sandbox.commands.run(
        "echo first; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo second", handlers=handlers))
    runner.start()
    eventually(lambda: seen, what="the first line")
    assert "second" not in "".join(seen)
    sandbox.files.write_file("/tmp/go", "")
    runner.join(10)
    assert "".join(seen).split() == ["first", "second"]


def test_a_million_bytes_of_output_arrive_whole(sandbox):
    done = sandbox.commands.run("head -c 1000000 /dev/zero | tr '\\0' x")
    assert len(out(done)) == 1_000_000 and set(out(done)) == {"x"}


def test_what_is_printed_in_parts_comes_back_without_a_false_break(sandbox):
    program = "import json; print(json.dumps(list(range(20000))))"
    assert json.loads(sandbox.commands.run(f"python3 -c '{program}'").text) == list(range(20000))
    assert sandbox.commands.run("python3 -c \"print('a' * 40000)\"").text == "a" * 40000
    done = sandbox.commands.run("for i in 1 2 3; do printf '%s.' $i; printf '%s!' $i >&2; sleep 0.02; done")
    assert done.text == "1.2.3." and out(done) == "1.2.3." and err(done) == "1!2!3!"
    session = sandbox.commands.create_session()
    assert sandbox.commands.run_in_session(session, "printf 1; sleep 0.02; printf 2").text == "12"


def test_progress_text_arrives_as_it_was_printed(sandbox):
    done = sandbox.commands.run("for i in 1 2 3; do printf '%s%%\\r' $i; sleep 0.02; done; printf 'done\\r\\nend\\n'")
    assert out(done) == "1%\r2%\r3%\rdone\r\nend"


def test_a_line_of_ten_million_bytes_arrives_in_pieces_and_whole(sandbox):
    for byte in ("x", "\\1"):
        done = sandbox.commands.run(f"head -c 10000000 /dev/zero | tr '\\0' '{byte}'", opts=RunCommandOpts())
        assert len(out(done)) == 10_000_000 and len(set(out(done))) == 1
        assert max(len(message.text) for message in done.logs.stdout) <= 1 << 20


def test_a_stream_is_bare_records_of_whole_numbers(sandbox):
    import httpx

    endpoint = sandbox.get_endpoint(44772)
    for command in ("echo one; sleep 0.05; echo two >&2; printf tail", "exit 3", "head -c 3000000 /dev/zero"):
        answer = httpx.post(f"http://{endpoint.endpoint}/command", headers=endpoint.headers, json={"command": command})
        lines = answer.content.split(b"\n")
        assert lines[1::2] == [b""] * (len(lines) // 2), "every record is followed by a blank line"
        for line in lines[0:-1:2]:
            assert line.startswith(b"{") and len(line) <= 4 << 20
            record = json.loads(line, parse_float=lambda text: pytest.fail(f"{text} is no whole number"))
            assert isinstance(record["timestamp"], int) and record["type"] != "status"


def test_text_of_every_kind_arrives_as_it_was_written(sandbox):
    text = "grüße 日本 \u2028 \u0085 \U0001f600 \"quoted\" \\ tab\tend"
    sandbox.files.write_file("/tmp/text", text)
    assert out(sandbox.commands.run("cat /tmp/text")) == text


def test_a_short_command_has_no_tail(sandbox):
    fastest = min(timed(lambda: sandbox.commands.run("true")) for _ in range(10))
    assert fastest < 0.3, fastest


def timed(body):
    start = time.monotonic()
    body()
    return time.monotonic() - start


def test_an_argument_list_is_run_without_a_shell(sandbox):
    assert out(sandbox.commands.run(["echo", "$HOME", "a b"])) == "$HOME a b"


def test_folder_and_variables_of_a_command_are_those_asked_for(sandbox):
    done = sandbox.commands.run("pwd; echo $A", opts=RunCommandOpts(working_directory="/usr/bin", envs={"A": "x y"}))
    assert out(done).splitlines() == ["/usr/bin", "x y"]


def test_a_variable_that_is_set_once_is_there_for_later_commands(sandbox):
    sandbox.commands.set_env("TOKEN", "it's \"quoted\"")
    assert out(sandbox.commands.run("printf %s \"$TOKEN\"")) == "it's \"quoted\""


def test_a_variables_name_is_anything_without_an_equals_sign(create):
    names = {"a.b-c": "1", "1A": "2", "with blank": "3", "é": "4"}
    sandbox = create(env=names)
    seen = dict(line.split("=", 1) for line in out(sandbox.commands.run(["env"])).splitlines())
    assert names.items() <= seen.items()
    for name in names:
        done = sandbox.commands.run(["env"], opts=RunCommandOpts(envs={name: "mine"}))
        assert f"{name}=mine" in out(done).splitlines()
    for name in ("", "A=B"):
        with pytest.raises(SandboxApiException) as refusal:
            sandbox.commands.run("true", opts=RunCommandOpts(envs={name: "x"}))
        assert refusal.value.status_code == 400
        with pytest.raises(SandboxApiException) as refusal:
            create(env={name: "x"})
        assert refusal.value.status_code == 400
    session = sandbox.commands.create_session()
    assert names.items() <= dict(
        line.split("=", 1) for line in out(sandbox.commands.run_in_session(session, "env")).splitlines()).items()


def test_a_program_that_does_not_exist_is_an_error_of_the_command(sandbox):
    done = sandbox.commands.run(["/no/such/program"])
    assert done.exit_code == 127
    started = sandbox.commands.run(["/no/such/program"], opts=RunCommandOpts(background=True))
    assert started.error.value == "127"
    assert sandbox.commands.get_command_status(started.id).exit_code == 127
    assert sandbox.commands.run("no-such-program").exit_code == 127


def test_a_command_that_takes_too_long_is_ended_with_its_children(sandbox):
    start = time.monotonic()
    done = sandbox.commands.run("sleep 4321 & sleep 4321", opts=RunCommandOpts(timeout=timedelta(milliseconds=300)))
    assert time.monotonic() - start < 60
    assert done.exit_code == -1
    eventually(lambda: sandbox.commands.run("pgrep -f 'sleep 432[1]'").exit_code == 1, what="the children's end")


def test_a_background_command_goes_on_and_its_log_is_read_piece_by_piece(sandbox):
    started = sandbox.commands.run(
        "echo one; while [ ! -e /tmp/go-on ]; do sleep 0.02; done; echo two >&2; exit 7",
        opts=RunCommandOpts(background=True))
    eventually(lambda: "one" in sandbox.commands.get_background_command_logs(started.id).content, what="the log")
    status = sandbox.commands.get_command_status(started.id)
    assert status.running and status.exit_code is None and status.finished_at is None
    cursor = sandbox.commands.get_background_command_logs(started.id).cursor
    assert cursor == len("one\n")
    sandbox.files.write_file("/tmp/go-on", "")
    status = eventually(
        lambda: (s := sandbox.commands.get_command_status(started.id)) and not s.running and s, what="the end")
    assert status.exit_code == 7 and status.finished_at >= status.started_at
    rest = sandbox.commands.get_background_command_logs(started.id, cursor=cursor)
    assert rest.content == "two\n" and rest.cursor == len("one\ntwo\n")


def test_an_interrupted_command_ends(sandbox):
    started = sandbox.commands.run("sleep 5432", opts=RunCommandOpts(background=True))
    sandbox.commands.interrupt(started.id)
    status = eventually(
        lambda: (s := sandbox.commands.get_command_status(started.id)) and not s.running and s, what="the end")
    assert status.exit_code != 0
    assert sandbox.commands.run("pgrep -f 'sleep 543[2]'").exit_code == 1


def test_a_command_that_ignores_the_signal_is_killed(sandbox):
    started = sandbox.commands.run("trap '' TERM; while :; do sleep 0.1; done", opts=RunCommandOpts(background=True))
    sandbox.commands.interrupt(started.id)
    eventually(lambda: not sandbox.commands.get_command_status(started.id).running, what="the end")


def test_unknown_commands_are_refused_in_the_contracts_way(sandbox):
    for call, status in ((sandbox.commands.get_command_status, 404), (sandbox.commands.interrupt, 500)):
        with pytest.raises(SandboxApiException) as refusal:
            call("no-such-command")
        assert refusal.value.status_code == status
    with pytest.raises(SandboxApiException) as refusal:
        sandbox.commands.get_background_command_logs("no-such-command")
    assert refusal.value.status_code in (400, 404)


def test_metrics_are_those_of_the_sandbox(create):
    sandbox = create(resource={"cpu": "1", "memory": "128Mi"})
    found = sandbox.get_metrics()
    assert found.cpu_count == 1 and 0 <= found.cpu_used_percentage
    assert 0 < found.memory_used_in_mib <= found.memory_total_in_mib == 128
    assert abs(found.timestamp / 1000 - time.time()) < 60


def test_a_session_keeps_its_folder_and_its_variables(sandbox):
    session = sandbox.commands.create_session(working_directory="/tmp")
    assert out(sandbox.commands.run_in_session(session, "pwd")) == "/tmp"
    sandbox.commands.run_in_session(session, "cd /usr; export KEPT=yes; unkept=no")
    assert out(sandbox.commands.run_in_session(session, "pwd; echo $KEPT")).split() == ["/usr", "yes"]
    assert out(sandbox.commands.run_in_session(session, "pwd", working_directory="/var")) == "/var"
    assert sandbox.commands.run_in_session(session, "false").exit_code == 1
    sandbox.commands.delete_session(session)
    with pytest.raises(SandboxApiException) as refusal:
        sandbox.commands.delete_session(session)
    assert refusal.value.status_code == 404


def test_a_run_in_a_session_that_takes_too_long_is_ended(sandbox):
    session = sandbox.commands.create_session()
    start = time.monotonic()
    done = sandbox.commands.run_in_session(session, "sleep 4321", timeout=timedelta(milliseconds=300))
    assert time.monotonic() - start < 60 and done.exit_code != 0


def test_a_command_whose_client_goes_away_is_ended(sandbox):
    import httpx

    endpoint = sandbox.get_endpoint(44772)
    with httpx.stream("POST", f"http://{endpoint.endpoint}/command", headers=endpoint.headers,
                      json={"command": "echo up; exec sleep 6543"}, timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        while '"up"' not in next(lines):
            pass
        say(sandbox, "pgrep -f 'sleep 654[3]'")
    eventually(lambda: sandbox.commands.run("pgrep -f 'sleep 654[3]'").exit_code == 1, what="the command's end")
