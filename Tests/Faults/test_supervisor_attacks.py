"""What a process of a server can do to the others when somebody else commands it, and what a user of the machine can."""

import ctypes
import os
import pathlib
import shutil
import signal
import socket
import struct

import httpx
import pytest
from support.server import BINARY, AllInOneServer
from support.inside import ECHO_SERVER, start_server
from support.parts import PARTS, apart, is_gone, part, status, words
from support.waiting import answers, eventually

SYS_PIDFD_GETFD = 438
GATEWAY_USER = 60911


@pytest.fixture
def own_server(world):
    with apart(world) as server:
        yield server


def descriptors(pid):
    """What each descriptor of a process is, by number."""
    folder = pathlib.Path(f"/proc/{pid}/fd")
    found = {}
    for one in folder.iterdir():
        found[int(one.name)] = answers(lambda: os.readlink(one), FileNotFoundError) or ""
    return found


def taken_from(pid, number):
    """A process's own socket, as who commands it has it."""
    process = os.pidfd_open(pid)
    try:
        copy = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, process, number, 0)
        assert copy >= 0, os.strerror(ctypes.get_errno())
        return socket.socket(fileno=copy)
    finally:
        os.close(process)


def threads(pid):
    return [f"{pid}/task/{one.name}" for one in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def listeners(pid):
    """The sockets on which a process listens."""
    for number, what in descriptors(pid).items():
        if what.startswith("socket:"):
            found = taken_from(pid, number)
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                yield found
            else:
                found.close()


def renewed(server, name, old):
    eventually(lambda: part(server, name) not in (None, old), what=f"a new {name}")
    eventually(server._is_up, what="health")


@pytest.mark.parametrize("name", PARTS)
def test_sockets_that_a_process_has_shut_down_before_it_ends_are_opened_again(own_server, name):
    server = own_server
    sandbox = server.create()
    start_server(sandbox, ECHO_SERVER)
    route = {"OpenSandbox-Ingress-To": f"{sandbox.id}-8000"}
    old = part(server, name)
    shut = 0
    # It would notice, and end before all of them are. A signal is not the stop itself: threads run on until one takes it.
    os.kill(old, signal.SIGSTOP)
    eventually(lambda: all(status(thread)["State"].startswith("T") for thread in threads(old)), what="the stop")
    for found in listeners(old):
        # Of the network and of files alike; a shorter queue is as bad.
        found.listen(0)
        found.shutdown(socket.SHUT_RDWR)
        found.close()
        shut += 1
    assert shut >= 2
    os.kill(old, signal.SIGKILL)
    renewed(server, name, old)
    assert server.api.get("/v1/sandboxes").status_code == 200
    assert httpx.get(f"{server.gateway}/x", headers=route).status_code == 200
    assert server.api.get(f"/v1/sandboxes/{sandbox.id}/networkpolicy").status_code == 200
    text = server.api.get("/metrics").text
    assert "egress_nftables_rules" in text and "sallyport_ingress" in text
    sandbox.close()


def test_the_link_keeps_no_descriptor_that_it_is_sent(own_server):
    server = part(own_server, "server")
    path = str(own_server.folder / "run" / "link.sock")
    before = len(descriptors(server))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link, open("/dev/null") as null:
        link.connect(path)
        for count in (1, 2, 1, 2):
            # "accessed", of a sandbox that is not there. Who sends more than one is not listened to any more.
            answers(lambda: socket.send_fds(link, [b"\x02nobody"], [null.fileno()] * count), OSError)
        eventually(lambda: "/dev/null" not in list(descriptors(server).values())[3:] and
                   len([w for n, w in descriptors(server).items() if n > 2 and w == "/dev/null"]) == 0, what="their end")
    eventually(lambda: len(descriptors(server)) <= before + 1, what="the link's end")


def test_a_part_has_no_descriptor_but_those_that_it_was_given(own_server):
    secrets = str(own_server.state / "secrets")
    for name in PARTS:
        found = {n: what for n, what in descriptors(part(own_server, name)).items() if what.startswith(("/", "memfd"))}
        files = {what for what in found.values() if not what.startswith(("/dev/", "memfd:sallyport-board"))}
        assert not any("handover" in what for what in files)
        if name != "server":
            assert not any(what.endswith((".toml", "api-key", "credential-key")) for what in files), files
        if name == "guard":
            assert not any(what.startswith(secrets) for what in files), files


def test_the_gateway_reaches_no_file_and_the_guard_writes_none_but_its_own(own_server):
    # Whatever the kernel has of Landlock and filters is on; what it lacks is said once.
    assert "lacks" not in own_server.log.read_text()
    for name in ("guard", "gateway"):
        found = status(part(own_server, name))
        assert found["Seccomp"] == "2" and found["NoNewPrivs"] == "1"
        for thread in threads(part(own_server, name)):
            assert status(thread)["Seccomp"] == "2"


def attempts(run, pids):
    """What this process can do to sockets and processes of a server."""
    for name in ("link.sock", "directory.sock", "policy.sock", "egress-admin.sock", "gateway-metrics.sock"):
        for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            with socket.socket(socket.AF_UNIX, kind) as one:
                if answers(lambda: one.connect(f"{run}/{name}") or True, OSError):
                    yield f"connects to {name}"
    if answers(lambda: os.listdir(run), OSError):
        yield "lists the sockets"
    for name, pid in pids.items():
        if answers(lambda: os.kill(pid, signal.SIGCONT) or True, OSError):
            yield f"signals {name}"
        for file in ("environ", "mem", "maps"):
            if answers(lambda: open(f"/proc/{pid}/{file}", "rb").read(1) or True, OSError):
                yield f"reads {file} of {name}"
        if answers(lambda: os.listdir(f"/proc/{pid}/fd"), OSError):
            yield f"lists descriptors of {name}"


def as_user(number, run, pids):
    """The attempts of a process of another user that succeed."""
    ends = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(number, number, number)
            os.setresuid(number, number, number)
            os.write(ends[1], "\n".join(["as another", *attempts(run, pids)]).encode())
        finally:
            os._exit(0)
    os.close(ends[1])
    with open(ends[0]) as said:
        lines = said.read().splitlines()
    os.waitpid(child, 0)
    assert lines[0] == "as another"
    return set(lines[1:])


def test_a_user_of_the_machine_reaches_no_socket_and_no_process(own_server):
    pids = {"supervisor": own_server.process.pid, **{name: part(own_server, name) for name in PARTS}}
    # The folder above is the test's own.
    own_server.folder.chmod(0o755)
    run = str(own_server.folder / "run")
    assert as_user(60000, run, pids) == set()
    # A program of the gateway's user, which is to own nothing else: the gateway's sockets, and no secret of its process.
    assert as_user(GATEWAY_USER, run, pids) == {
        "connects to link.sock", "connects to directory.sock", "connects to policy.sock", "signals gateway"}


def test_a_program_that_is_replaced_while_it_runs_is_still_the_one_that_is_started_again(world, tmp_path):
    program = tmp_path / "sallyport"
    shutil.copy2(BINARY, program)
    server = AllInOneServer(world)
    server.words = ()
    own = ["sh", "-c", f'shift; exec "{program}" "$@"', "sh"]
    try:
        server.process = server.launch(through=own, SWIFT_BACKTRACE="enable=no")
        eventually(server._is_up, what="the server")
        other = tmp_path / "other"
        other.write_text("#!/bin/sh\nexit 3\n")
        other.chmod(0o755)
        other.replace(program)
        for name in PARTS:
            old = part(server, name)
            os.kill(old, signal.SIGKILL)
            renewed(server, name, old)
            assert status(part(server, name))["Name"] == "sallyport"
            assert words(part(server, name))[0] == "sallyport"
    finally:
        server.stop()
        server.tear_down()


def test_a_part_that_is_stopped_holds_up_nobody_else_and_goes_on_where_it_was(own_server):
    server = own_server
    sandbox = server.create()
    start_server(sandbox, ECHO_SERVER)
    route = {"OpenSandbox-Ingress-To": f"{sandbox.id}-8000"}
    questions = {
        "server": lambda: server.api.get("/v1/sandboxes").status_code,
        "gateway": lambda: httpx.get(f"{server.gateway}/x", headers=route, timeout=20).status_code,
    }
    for name in PARTS:
        pid = part(server, name)
        os.kill(pid, signal.SIGSTOP)
        try:
            for other, question in questions.items():
                if other != name:
                    assert question() == 200, (name, other)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert part(server, name) == pid
        assert all(question() == 200 for question in questions.values())
    sandbox.close()


def test_a_supervisor_that_is_stopped_is_missed_only_when_a_part_ends(own_server):
    server = own_server
    supervisor = server.process.pid
    old = part(server, "gateway")
    os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(old, signal.SIGKILL)
        eventually(lambda: is_gone(old), what="the gateway's end")
        assert server.api.get("/v1/sandboxes").status_code == 200
    finally:
        os.kill(supervisor, signal.SIGCONT)
    renewed(server, "gateway", old)


def test_strangers_on_the_link_do_not_keep_the_gateway_out(own_server):
    server = own_server
    path = str(server.folder / "run" / "link.sock")
    sandbox = server.create()
    start_server(sandbox, ECHO_SERVER)
    held = []
    try:
        for _ in range(64):
            link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            link.connect(path)
            # What is no message ends the link; what is one is answered, or not.
            answers(lambda: link.send(struct.pack("<BQH", 1, 7, 80) + os.urandom(40)), OSError)
            held.append(link)
        route = {"OpenSandbox-Ingress-To": f"{sandbox.id}-8000"}
        assert httpx.get(f"{server.gateway}/x", headers=route).status_code == 200
        assert server.api.get("/v1/sandboxes").status_code == 200
    finally:
        for link in held:
            link.close()
    sandbox.close()
