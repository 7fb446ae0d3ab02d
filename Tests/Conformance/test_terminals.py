"""Terminals of real sandboxes, by a WebSocket library that is not ours (docs/execd.md#terminals; EXECD contract, section 1)."""

import socket
import struct
import threading

import httpx
import pytest
from support.inside import say
from support.terminals import Terminals
from support.waiting import eventually
from websockets.exceptions import InvalidStatus


@pytest.fixture
def terminals(api, sandbox):
    return Terminals(api, sandbox)


@pytest.mark.parametrize("way", ["gateway", "proxy"])
def test_a_terminal_is_the_same_by_either_way(sandbox, api, way):
    terminals = Terminals(api, sandbox, way)
    name = terminals.create(cwd="/tmp/made/for/it", envs={"GIVEN": "it"}, cols=100, rows=30)
    assert terminals.status(name)["running"] is False
    with terminals.client(name) as client:
        assert client.connected() == {"type": "connected", "session_id": name, "mode": "pty", "role": "holder"}
        assert not client.replays
        client.type("stty size; pwd; echo $TERM $GIVEN; tty; exit 7\n")
        assert client.to_end() == (1000, "process exited")
        assert client.notices[-1] == {"type": "exit", "exit_code": 7}
        assert "\n30 100\n/tmp/made/for/it\nxterm-256color it\n/dev/pts/" in client.text
    with terminals.client(name) as client:
        assert client.connected()["mode"] == "pty" and client.replays[0][0] == 0
        if way == "gateway":
            with pytest.raises(InvalidStatus) as refused, terminals.client(name):
                pass
            assert refused.value.response.status_code == 409
        else:
            # The server's proxy upgrades before it asks the sandbox (docs/ingress.md).
            with terminals.client(name) as second:
                assert second.to_end() == (1008, "BACKEND_UPGRADE_REFUSED")
        with terminals.client(name, "?takeover=1") as other:
            assert client.to_end() == (4001, "TAKEN_OVER")
            other.connected()
            assert terminals.call("DELETE", f"/{name}").status_code == 200
            assert other.to_end() == (1000, "process exited")
            assert other.notices[-1] == {"type": "exit", "exit_code": -1, "signal": "SIGKILL"}
    assert terminals.call("GET", f"/{name}").json()["code"] == "CONTEXT_NOT_FOUND"


def test_without_execds_token_no_terminal_opens(terminals):
    name = terminals.create()
    terminals.headers = {key: value for key, value in terminals.headers.items() if "TOKEN" not in key.upper()}
    assert terminals.call("GET", f"/{name}").status_code == 401
    for query in ("", "?takeover=1", "?mode=viewer"):
        with pytest.raises(InvalidStatus) as refused, terminals.client(name, query):
            pass
        assert refused.value.response.status_code == 401


def test_job_control_works_and_a_signal_is_the_foregrounds(terminals):
    name = terminals.create()
    with terminals.client(name) as client:
        client.type("set -m; sleep 300 & echo job\n")
        client.until("\njob\n")
        # The group goes on after its cat. A shell whose own child a signal has ended drops what was typed meanwhile.
        client.type("jobs; (trap : INT; cat; echo status $?)\n")
        client.until("Running")
        client.type("typed\n")
        client.until("typed\ntyped\n")
        client.say("signal", signal="SIGINT")
        client.until("status 130")
        client.type("exit\n")
        assert client.to_end()[0] == 1000


def test_a_client_that_does_not_read_stops_nobody_and_memory_stays_bounded(terminals, sandbox):
    name = terminals.create()
    with terminals.client(name, max_queue=1) as idle:
        idle.type("yes > /dev/tty & exec sleep 1000\n")
        before = terminals.status(name)["output_offset"]
        # Far more than all buffers on the way hold: the shell goes on without its client.
        eventually(lambda: terminals.status(name)["output_offset"] > before + (64 << 20), within=120, what="the flood")
        with terminals.client(name, "?mode=viewer&since=0") as viewer:
            viewer.connected()
            assert viewer.replays[0][0] > 0, "what is lost is told of"
        with terminals.client(name, "?takeover=1") as other:
            other.connected()
            other.until("y\ny\n")
            say(sandbox, "true")
    terminals.call("DELETE", f"/{name}")
    assert "yes" not in say(sandbox, "cat /proc/[0-9]*/comm")


def test_a_client_that_reads_loses_nothing_of_a_flood(terminals):
    name = terminals.create(command="stty -opost; head -c 30000000 /dev/zero | tr '\\0' x; printf last")
    with terminals.client(name) as client:
        assert client.to_end() == (1000, "process exited")
        assert client.total == 30_000_004 and not client.replays and client.largest <= 32 << 10
        assert client.output.endswith(b"xlast")


def test_a_client_that_vanishes_is_taken_over_and_misses_nothing(terminals):
    name = terminals.create()
    with terminals.client(name) as client:
        client.type("echo $$; echo here\n")
        client.until("\nhere\n")
        # It goes without a word.
        client.socket.socket.close()
    with terminals.client(name, f"?takeover=1&since={client.position}", client.position) as client:
        client.connected()
        client.type("seq 5; echo again\n")
        client.until("\nagain\n")
        assert terminals.status(name)["output_offset"] >= client.position


def test_floods_of_input_sizes_and_pings_are_taken_and_no_byte_is_lost(terminals):
    name = terminals.create(command="stty raw -echo; echo up; head -c 3000000 | wc -c; exit 4")
    with terminals.client(name) as client:
        client.until("up")

        def flood():
            for number in range(2000):
                client.say("resize", cols=number % 200 + 1, rows=50)
                client.say("ping")

        other = threading.Thread(target=flood)
        other.start()
        for _ in range(100):
            client.socket.send(b"\0" + b"x" * 30_000)
        other.join(30)
        assert client.to_end() == (1000, "process exited")
        assert "3000000" in client.text and client.notices[-1]["exit_code"] == 4
        assert any(notice["type"] == "pong" for notice in client.notices)


@pytest.mark.parametrize("command", ["kill -STOP 0", "exec >&- 2>&- <&-; sleep 1000", "trap '' TERM HUP INT QUIT; while :; do :; done"])
def test_a_shell_that_does_what_it_can_against_it_is_deleted(terminals, sandbox, command):
    name = terminals.create(command=f"echo up; {command}")
    with terminals.client(name) as client:
        client.until("up")
        assert terminals.call("DELETE", f"/{name}").status_code == 200
        assert client.to_end() == (1000, "process exited")
        assert client.notices[-1]["exit_code"] == -1
    assert name not in say(sandbox, "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep SALLYPORT || true")


def test_another_user_has_the_terminal_and_no_more(terminals):
    name = terminals.create(uid=1234, gid=1234, cwd="/tmp/of1234", command="id -u; stat -c %u $(tty) .; touch x && echo wrote")
    with terminals.client(name) as client:
        client.to_end()
        assert client.text == "1234\n1234\n1234\nwrote\n"


def test_two_hundred_terminals_at_once(terminals, sandbox):
    names = [terminals.create() for _ in range(200)]
    clients = [terminals.client(name) for name in names]
    opened = [client.__enter__() for client in clients]
    try:
        for number, client in enumerate(opened):
            client.type(f"echo terminal-$(({number}+1000))\n")
        for number, client in enumerate(opened):
            client.until(f"terminal-{number + 1000}\n")
        assert sum(state["running"] for state in terminals.call("GET").json()) == 200
        say(sandbox, "true")
    finally:
        for client in clients:
            client.__exit__(None, None, None)
    for name in names:
        assert terminals.call("DELETE", f"/{name}").status_code == 200
    assert terminals.call("GET").json() == []
    with httpx.Client() as client:
        assert client.get(terminals.url + "/ping", headers=terminals.headers).status_code == 200


def test_clients_that_vanish_in_the_handshake_end_nothing(terminals, sandbox):
    name = terminals.create()
    host, port = terminals.url.removeprefix("http://").split("/")[0].split(":")
    path = "/" + terminals.url.removeprefix("http://").partition("/")[2].strip("/")
    fields = "".join(f"{key}: {value}\r\n" for key, value in terminals.headers.items())
    head = (f"GET {path.rstrip('/')}/pty/{name}/ws?takeover=1 HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n{fields}\r\n").encode()
    execd = say(sandbox, "pgrep -of ' --serv[e]'")
    for number in range(300):
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(head)
            if number % 3 == 0:
                client.recv(1)
    assert say(sandbox, "pgrep -of ' --serv[e]'") == execd, "execd has not been started again"
    with terminals.client(name, "?takeover=1") as client:
        client.type("echo here\n")
        client.until("\nhere\n")
