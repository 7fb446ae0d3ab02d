"""Runs inside a sandbox: asks its filter about system calls without making one of them.

A filter of its own, put under the sandbox's, has whatever that lets through answered by this program (SECCOMP_RET_USER_NOTIF)
with an error that no kernel knows. What the sandbox's filter refuses never gets that far: the stricter answer wins.

Arguments: a JSON list of calls, each a number and its first argument. Prints a JSON list of their errors; 0 is "let through".
"""

import array
import ctypes
import fcntl
import json
import os
import select
import socket
import struct
import sys

# What a child of this program needs to report: of these that it gets to the end is the answer.
USED = {"x86_64": [1, 9, 10, 11, 12, 13, 14, 15, 25, 28, 46, 202, 231], "aarch64": [64, 94, 98, 134, 135, 139, 211, 214, 215, 216, 222, 226, 233]}
LET_THROUGH = 999
RET_ALLOW, RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
NOTIF_RECV, NOTIF_SEND = 0xC0502100, 0xC0182101
MODE_FILTER, NEW_LISTENER = 1, 8
SECCOMP = {"x86_64": 317, "aarch64": 277}

# The interpreter's lock stays where it is: taking it again would be a call of its own.
call = ctypes.PyDLL(None, use_errno=True).syscall
call.restype = ctypes.c_long
call.argtypes = [ctypes.c_long] + [ctypes.c_ulong] * 6


def install(machine):
    used = USED[machine]
    program = struct.pack("HBBI", 0x20, 0, 0, 0)
    for index, number in enumerate(used):
        program += struct.pack("HBBI", 0x15, len(used) - index, 0, number)
    program += struct.pack("HBBI", 0x06, 0, 0, RET_USER_NOTIF) + struct.pack("HBBI", 0x06, 0, 0, RET_ALLOW)
    code = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code)), 16)
    listener = call(SECCOMP[machine], MODE_FILTER, NEW_LISTENER, ctypes.addressof(head), 0, 0, 0)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def ask(calls, channel, report, machine):
    listener = install(machine)
    channel.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
    errors = []
    for number, argument in calls:
        if number in USED[machine]:
            errors.append(0)
            continue
        ctypes.set_errno(0)
        call(number, argument, 0, 0, 0, 0, 0)
        error = ctypes.get_errno()
        errors.append(0 if error == LET_THROUGH else error)
    os.write(report, json.dumps(errors).encode())
    os._exit(0)


def answer(listener, reading):
    """Answers the child's calls until it has ended; what it reports. Before Linux 6.11 the listener itself says nothing of the
    end of a process that nobody has waited for.
    """
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(reading, select.POLLIN)
    text = b""
    while True:
        ready = dict(poll.poll())
        if ready.get(listener, 0) & select.POLLIN:
            request = bytearray(80)
            fcntl.ioctl(listener, NOTIF_RECV, request)
            identity = struct.unpack_from("Q", request)[0]
            fcntl.ioctl(listener, NOTIF_SEND, bytearray(struct.pack("Qqii", identity, 0, -LET_THROUGH, 0)))
        elif reading in ready:
            part = os.read(reading, 65536)
            if not part:
                return text
            text += part


def main():
    calls = json.load(open(sys.argv[1]))
    mine, theirs = socket.socketpair()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ask(calls, theirs, writing, os.uname().machine)
        finally:
            os._exit(1)
    theirs.close()
    os.close(writing)
    _, ancillary, _, _ = mine.recvmsg(1, socket.CMSG_SPACE(4))
    listener = array.array("i", ancillary[0][2])[0]
    text = answer(listener, reading)
    _, state = os.waitpid(child, 0)
    if state:
        sys.exit(f"the walk ended with {state}")
    print(text.decode())


main()
