"""What a server says where, and what it does not: its key, and what sandboxes printed."""

import json
import os
import pty
import signal
import subprocess

from support.server import BINARY
from support.waiting import eventually

FOREIGN = "\x1b[31mred\x1b]0;title\x07 \u202egnihton\u2066 \u2028 \r\nforged line"


def serve(server, output, *words):
    """A server with a key of its own making, with the configuration of one that has ended."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENSANDBOX")}
    return subprocess.Popen(
        [BINARY, "serve", "--config", str(server.config), *words], stdin=subprocess.DEVNULL, stdout=output,
        stderr=open(server.folder / "other-log", "wb"), env=environment, start_new_session=True)


def ended(process):
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=15)


def test_the_api_key_is_printed_on_a_terminal_only(own_server):
    own_server.stop()
    file, errors = own_server.state / "secrets/api-key", own_server.folder / "other-log"
    leader, follower = pty.openpty()
    process = serve(own_server, follower)
    os.close(follower)
    said = b""
    while b"asyncio.run(main())" not in said:
        said += os.read(leader, 4096)
    ended(process)
    os.close(leader)
    key = file.read_text().strip()
    assert f"export OPEN_SANDBOX_API_KEY={key}".encode() in said and key not in errors.read_text()

    process = serve(own_server, subprocess.PIPE)
    said = b""
    while b"asyncio.run(main())" not in said:
        said += process.stdout.read1(4096)
    ended(process)
    assert key.encode() not in said and f"$(cat {file})".encode() in said and key not in errors.read_text()

    process = serve(own_server, subprocess.PIPE, "--log-format", "json")
    eventually(lambda: '"message":"ready"' in errors.read_text(), what="the line that says so")
    ended(process)
    lines = [json.loads(line) for line in errors.read_text().splitlines()]
    assert process.stdout.read() == b"" and key not in errors.read_text()
    assert [line["api-key-file"] for line in lines if line["message"] == "ready"] == [str(file)]


def refusal(server, *entrypoint):
    """What a client is told whose entrypoint ends at once. On a busy machine execd may be there first: then it is a sandbox that has
    ended, and is asked for again."""
    def told():
        answer = server.api.post("/v1/sandboxes", json=server.body(entrypoint=list(entrypoint)))
        if answer.status_code == 202:
            server.api.delete(f"/v1/sandboxes/{answer.json()['id']}")
            return None
        assert answer.status_code == 400, answer.text
        return answer.json()["message"]

    return eventually(told, what="a refusal")


def test_what_a_sandbox_prints_adds_no_line_and_moves_no_terminal(create, server):
    marks = [mark for mark in FOREIGN if ord(mark) < 0x20 or ord(mark) in (0x202E, 0x2066, 0x2028)]
    script = f"printf '%s' '{FOREIGN}'"
    told = refusal(server, "sh", "-c", f"{script}; exit 7")
    assert "the entrypoint ended with exit code 7" in told and r"\u{1b}[31mred\u{1b}]0;title\u{7}" in told
    sandbox = create(entrypoint=["sh", "-c", f"{script}; exec sleep 1000"])
    logs = eventually(
        lambda: "forged" in (d := sandbox.get_diagnostic_logs("all")).content and d.content, what="the output")
    assert logs.splitlines()[-1] == "forged line" and r"\u{202e}gnihton\u{2066}" in logs
    for text in (told, logs.replace("\n", ""), server.log.read_text().replace("\n", "")):
        assert not [mark for mark in marks if mark in text]
    assert not [line for line in server.log.read_text().splitlines() if line.startswith("forged")]


def test_a_start_without_a_program_names_it(server):
    assert "the entrypoint /no/such/program could not be started: No such file or directory" in refusal(
        server, "/no/such/program", "word")
    assert "the entrypoint ended with exit code 1" in refusal(server, "false")
