"""Which system calls a sandbox has: every number of the running kernel, and the arguments that are judged (threats, R2)."""

import ctypes
import ctypes.util
import errno
import json
import os
import pathlib

import pytest
from support.inside import say

HERE = pathlib.Path(__file__).parent
MACHINE = os.uname().machine
COLUMN = ["x86_64", "aarch64"].index(MACHINE)
# Behind the last number that any kernel has, and numbers that only look like those of other tables.
BEYOND = [*range(470, 700), 1000, 4095, 0x3FFFFFFF]

ANOTHER_ABI = {
    # eax is the number; getpid of i386 is 20.
    "i386": "import ctypes, mmap; m = mmap.mmap(-1, 4096, prot=7); m.write(bytes.fromhex('b814000000cd80c3')); "
            "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()",
    "x32": "import ctypes, os; os._exit(0 if ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 | 39)) > 0 else 7)",
}


def table():
    rows = [line.split() for line in (HERE / "support/system_calls.txt").read_text().splitlines() if line[0] != "#"]
    return {int(row[COLUMN]): (row[2], row[3]) for row in rows if row[COLUMN] != "-"}


TABLE = table()
NUMBERS = {name: number for number, (name, _) in TABLE.items()}


def is_known_to_libseccomp(name):
    """runc compiles the list: a call that is newer than its libseccomp is refused as if it were not there. crun gets it compiled."""
    library = ctypes.CDLL("libseccomp.so.2")
    return library.seccomp_syscall_resolve_name(name.encode()) >= 0


@pytest.fixture(scope="module")
def walk(either_runtime):
    """Asks a sandbox of either runtime; the errors of some calls, 0 where the filter lets them through."""
    sandbox = either_runtime.create()
    sandbox.files.write_file("/tmp/call_walk.py", (HERE / "programs/call_walk.py").read_text())

    def walk(calls):
        sandbox.files.write_file("/tmp/calls.json", json.dumps(calls))
        found = json.loads(say(sandbox, "python3 /tmp/call_walk.py /tmp/calls.json"))
        assert len(found) == len(calls)
        return found

    walk.sandbox, walk.runtime = sandbox, either_runtime.name
    yield walk
    sandbox.kill()
    sandbox.close()


def test_every_number_has_the_answer_of_the_table(walk):
    # Made from elsewhere than the kernel's own trampoline, an unfiltered call is SIGILL.
    numbers = sorted((set(range(470)) | set(BEYOND)) - {number for number, (_, verdict) in TABLE.items() if verdict == "unfiltered"})
    answers = {"allowed": 0, "EPERM": errno.EPERM, "ENOSYS": errno.ENOSYS}
    wrong = []
    for number, found in zip(numbers, walk([[number, 0] for number in numbers])):
        name, verdict = TABLE.get(number, ("unknown", "ENOSYS"))
        expected = answers.get(verdict, {"clone": 0, "personality": 0, "socket": errno.EAFNOSUPPORT,
                                         "socketpair": errno.EAFNOSUPPORT}.get(name))
        if walk.runtime == "runc" and name != "unknown" and not is_known_to_libseccomp(name):
            expected = errno.ENOSYS
        if found != expected:
            wrong.append((number, name, found, expected))
    assert not wrong


def test_arguments_are_judged_by_the_bits_that_the_kernel_takes(walk):
    above = [0, 1 << 32, 0xFFFFFFFF00000000, 1 << 63]
    calls, expected = [], []

    def expect(name, argument, error):
        for high in above:
            calls.append([NUMBERS[name], high | argument])
            expected.append((name, hex(high | argument), error))

    for name in ("socket", "socketpair"):
        for family in [*range(64), 0x7FFFFFFF, 0x80000001, 0xFFFFFFFF]:
            expect(name, family, 0 if family in (1, 2, 10, 16) else errno.EAFNOSUPPORT if family < 64 else errno.ENOSYS)
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x7E020000):
        expect("clone", flag | 17, errno.EPERM)
    for flags in (0x003D0F00, 0x01200011, 0x4111):
        expect("clone", flags, 0)
    for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        expect("personality", value, 0)
    for value in (1, 0x40000, 0x400000, 0x20001):
        expect("personality", value, errno.ENOSYS)
    assert [(*what[:2], found) for what, found in zip(expected, walk(calls))] == expected


@pytest.mark.skipif(MACHINE != "x86_64", reason="these are of x86_64")
@pytest.mark.parametrize("abi", ANOTHER_ABI)
def test_the_calls_of_another_abi_are_refused(walk, abi):
    done = walk.sandbox.commands.run(f'python3 -c "{ANOTHER_ABI[abi]}"')
    assert done.exit_code not in (0, 1, 127, None), done


def test_what_programs_are_made_of_still_runs(walk):
    """Threads, processes, pipes, sockets, terminals, timers, shared memory and a debugger's calls."""
    script = """
import ctypes, multiprocessing, os, pty, select, signal, socket, subprocess, tempfile, threading, time
assert subprocess.run(["sh", "-c", "echo out; exec 2>&1; ls /nowhere"], capture_output=True).stdout.startswith(b"out")
threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
with multiprocessing.Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
pid, terminal = pty.fork()
if pid == 0: os.execvp("echo", ["echo", "hi"])
assert b"hi" in os.read(terminal, 100); os.waitpid(pid, 0)
poller = select.epoll(); one, two = socket.socketpair(); poller.register(one, select.EPOLLIN); two.send(b"x"); assert poller.poll(1)
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX): socket.socket(family).close()
socket.getaddrinfo("localhost", 80); socket.if_nameindex()
os.memfd_create("x"); os.sched_getaffinity(0); os.getrandom(8); os.mkfifo("/tmp/fifo")
target = os.fork()
if target == 0: signal.pause(); os._exit(0)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.ptrace(16, target, None, None) == 0, ctypes.get_errno()
os.waitpid(target, 0); os.kill(target, signal.SIGKILL); os.waitpid(target, 0)
print("fine")
"""
    walk.sandbox.files.write_file("/tmp/ordinary.py", script)
    assert say(walk.sandbox, "python3 /tmp/ordinary.py") == "fine"
    assert "Reading package lists" in say(walk.sandbox, "apt-get -o Acquire::Retries=0 update 2>&1 || true; dpkg --audit")
