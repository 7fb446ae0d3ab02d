"""What a sandbox is to the kernel: namespaces, control group, limits, rights."""

import ipaddress
import pathlib
import re
import subprocess

import pytest
from opensandbox.models.execd import RunCommandOpts
from support.server import deny_but
from support.inside import fetches, resolves, say
from support.leftovers import name_of

# What the kernel calls the rights a sandbox's root may have: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID
# SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP.
ALLOWED_CAPABILITIES = sum(1 << bit for bit in (0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31))

CALL = 'python3 -c "import ctypes, sys; sys.exit(ctypes.CDLL(None)'

# What the kernel counts for a user or for the machine: each takes all that it can get, no more than `most`, and says how many.
COUNTERS = """
import ctypes, fcntl, os, sys
libc = ctypes.CDLL(None, use_errno=True)
kept = []
def inotify():
    return libc.inotify_init1(0) >= 0
def requests():
    context = ctypes.c_ulong(0)
    return libc.syscall(206 if os.uname().machine == "x86_64" else 0, 60000, ctypes.byref(context)) == 0
def terminals():
    kept.append(os.openpty())
    return True
def pipes():
    kept.append(os.pipe())
    return fcntl.fcntl(kept[-1][0], 1031, 1 << 20) >= 1 << 20
take, most, count = globals()[sys.argv[1]], int(sys.argv[2]), 0
try:
    while count < most and take():
        count += 1
except OSError:
    pass
print(count, flush=True)
if len(sys.argv) > 3:
    sys.stdin.close()
    import signal
    signal.pause()
"""

FORKS = """
import os, signal
children = []
try:
    while len(children) < 100:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except OSError:
    pass
print(len(children))
for child in children:
    os.kill(child, signal.SIGKILL)
"""


def status(sandbox):
    lines = say(sandbox, "cat /proc/self/status").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@pytest.mark.parametrize("kind", ["pid", "mnt", "net", "ipc", "uts", "cgroup", "user"])
def test_a_sandbox_has_a_namespace_of_its_own(create, kind):
    one, two = create(), create()
    host = str(pathlib.Path(f"/proc/self/ns/{kind}").readlink())
    seen = [host] + [say(sandbox, f"readlink /proc/self/ns/{kind}") for sandbox in (one, two)]
    assert len(set(seen)) == 3, seen


def test_the_limits_asked_for_are_those_of_the_control_group(create):
    sandbox = create(resource={"cpu": "500m", "memory": "128Mi", "pids": "64"})
    root = pathlib.Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        group = root / "sallyport" / name_of(sandbox.id) / "programs"
        assert (group / "cpu.max").read_text().split() == ["50000", "100000"]
        assert (group / "memory.max").read_text().strip() == str(128 << 20)
        assert (group / "pids.max").read_text().strip() == "64"
    else:
        def value(controller, file):
            return (root / controller / "sallyport" / name_of(sandbox.id) / "programs" / file).read_text().strip()
        assert int(value("cpu", "cpu.cfs_quota_us")) * 2 == int(value("cpu", "cpu.cfs_period_us"))
        assert value("memory", "memory.limit_in_bytes") == str(128 << 20)
        assert value("pids", "pids.max") == "64"


def test_programs_and_execd_have_processor_time_of_their_own(create):
    """One quota for both would stop execd for what a storm of programs has spent (test_memory)."""
    sandbox = create(resource={"cpu": "500m", "memory": "128Mi"})
    root = pathlib.Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        group = root / "sallyport" / name_of(sandbox.id)
        quotas = [(group / part / "cpu.max").read_text().split()[0] for part in (".", "programs", "execd")]
        assert quotas == ["max", "50000", "60000"] and (group / "cpu.weight").read_text().strip() == "20"
    else:
        group = root / "cpu/sallyport" / name_of(sandbox.id)
        quotas = [int((group / part / "cpu.cfs_quota_us").read_text()) for part in (".", "programs", "execd")]
        assert quotas == [-1, 50000, 60000] and (group / "cpu.shares").read_text().strip() == "512"


def users_of(sandbox):
    """The users of the machine that processes of a sandbox are."""
    found = set()
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if name_of(sandbox.id) in (folder / "cgroup").read_text():
                found.update(re.search("Uid:(.*)", (folder / "status").read_text())[1].split())
        except OSError:
            continue
    return {int(user) for user in found}


def test_root_in_a_sandbox_is_nobody_outside_and_nobody_else(create, server):
    one, two = create(), create()
    users = [users_of(sandbox) for sandbox in (one, two)]
    assert all(users) and not users[0] & users[1], users
    assert min(users[0] | users[1]) >= 0x78000000, users
    assert say(one, "id -u; stat -c %u /etc/passwd /root; touch /made; stat -c %u /made").split() == ["0"] * 4
    assert "user namespace: ids" in server.api.get(f"/v1/sandboxes/{one.id}/diagnostics/summary").text


def test_no_loop_device_shows_which_file_of_the_machine_it_is_of(create, tmp_path):
    """Disks of sandboxes are such files, too."""
    (tmp_path / "secret-name").write_bytes(bytes(1 << 20))
    device = subprocess.run(["losetup", "--find", "--show", tmp_path / "secret-name"], capture_output=True, text=True, check=True)
    try:
        seen = f"/sys/block/{pathlib.Path(device.stdout.strip()).name}/loop/backing_file"
        assert "secret-name" in pathlib.Path(seen).read_text(), "the control: the machine shows it"
        search = f"cat {seen} /sys/devices/virtual/block/*/loop/backing_file; find -L /sys/block -maxdepth 3 -name backing_file; true"
        assert say(create(), f"({search}) 2>/dev/null") == ""
    finally:
        subprocess.run(["losetup", "--detach", device.stdout.strip()], check=True)


def test_small_ports_and_echo_requests_need_no_right(create):
    sandbox = create()
    assert say(sandbox, """python3 -c '
import socket
listener = socket.create_server(("0.0.0.0", 80))
socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
print("both")'""") == "both"


@pytest.mark.parametrize("counter, most, enough", [
    ("inotify", 1000, 100), ("requests", 20, 1), ("terminals", 1000, 200), ("pipes", 100, 32)])
def test_what_one_sandbox_uses_up_the_others_still_have(create, counter, most, enough):
    one, two = create(), create()
    for sandbox in (one, two):
        sandbox.files.write_file("/tmp/counters.py", COUNTERS)
    taken = say(one, f"python3 /tmp/counters.py {counter} {most} keep > /tmp/taken 2>&1 & "
                     "until [ -s /tmp/taken ]; do sleep 0.05; done; cat /tmp/taken")
    assert int(taken) >= enough
    assert int(say(two, f"python3 /tmp/counters.py {counter} {enough}")) == enough


# Whatever a user without rights can read of processes, mounts and groups, and the names of files that he can list.
LOOK = """
import os, sys
wanted, found = sys.argv[1].encode(), []
for process in filter(str.isdigit, os.listdir("/proc")):
    for name in ("cgroup", "cmdline", "comm", "environ", "mountinfo", "mounts", "status", "net/unix"):
        try:
            with open(f"/proc/{process}/{name}", "rb") as file:
                if process != str(os.getpid()) and wanted in file.read():
                    found.append(f"/proc/{process}/{name}")
        except OSError:
            pass
for top in ("/sys/fs/cgroup", "/run", "/var/lib", "/tmp"):
    for folder, folders, files in os.walk(top):
        found += [f"{folder}/{name}" for name in folders + files if sys.argv[1] in name]
print(found, len(os.listdir("/proc")) > 20)
"""


def as_nobody(*command):
    """What a command of a user without rights on this machine does."""
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=20)


def test_no_other_user_of_the_machine_finds_a_sandbox_by_its_id(sandbox, server):
    control = as_nobody("/usr/bin/python3", "-c", LOOK, name_of(sandbox.id))
    assert "/mountinfo" in control.stdout and "/cgroup" in control.stdout, control
    seen = as_nobody("/usr/bin/python3", "-c", LOOK, sandbox.id)
    assert seen.stdout == "[] True\n", seen


def test_no_other_user_of_the_machine_connects_to_a_sandbox(create):
    sandbox = create()
    address = say(sandbox, "cat /etc/hosts | grep sandbox- | cut -f1")
    digits = say(sandbox, "grep ' 00 .* eth0' /proc/net/if_inet6 | cut -c1-32")
    dial = ["bash", "-c", f"exec 3<>/dev/tcp/{address}/44772"]
    assert subprocess.run(dial, timeout=10).returncode == 0, "control: root's programs do"
    for address in (address, str(ipaddress.IPv6Address(int(digits, 16)))):
        # At once: a packet that the sandbox's guard drops would be waited for.
        refused = as_nobody("bash", "-c", f"exec 3<>/dev/tcp/{address}/44772")
        assert refused.returncode != 0 and "timed out" not in refused.stderr, refused
        datagram = as_nobody("bash", "-c", f"echo x > /dev/udp/{address}/53; echo x > /dev/udp/{address}/53")
        assert datagram.returncode != 0, datagram


GROUP = "cd /sys/fs/cgroup; [ -d memory ] && cd memory;"


def test_a_sandbox_sees_its_own_limits_and_no_group_but_its_own(create):
    other = create()
    sandbox = create(resource={"cpu": "500m", "memory": "128Mi", "pids": "64"})
    files = [("memory.max", "memory/memory.limit_in_bytes", [str(128 << 20)]), ("pids.max", "pids/pids.max", ["64"]),
             ("cpu.max", "cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us", ["50000", "100000"])]
    for version2, version1, expected in files:
        seen = say(sandbox, f"cd /sys/fs/cgroup; if [ -d memory ]; then cat {version1}; else cat {version2}; fi")
        assert seen.split() == expected
    assert set(line.split(":", 2)[2] for line in say(sandbox, "cat /proc/self/cgroup").splitlines()) == {"/"}
    assert say(sandbox, "grep -E ' /sys/fs/cgroup' /proc/self/mountinfo | cut -d' ' -f4 | sort -u") == "/"
    name = name_of(other.id)
    assert say(sandbox, f"grep -l {name} /proc/self/mountinfo /proc/1/cgroup; find /sys/fs/cgroup -name {name}") == ""


@pytest.mark.parametrize("attempt", [
    f"{GROUP} mkdir inner", f"{GROUP} echo 1 > cgroup.procs",
    f"{GROUP} if [ -f memory.max ]; then echo max > memory.max; else echo -1 > memory.limit_in_bytes; fi"])
def test_root_in_a_sandbox_cannot_change_its_group(sandbox, attempt):
    done = sandbox.commands.run(attempt)
    assert done.exit_code not in (0, 127, None)
    assert "Read-only file system" in "".join(message.text for message in done.logs.stderr)


def test_a_process_that_takes_more_than_its_memory_is_ended_and_the_sandbox_lives(create):
    sandbox = create(resource={"cpu": "1", "memory": "64Mi"})
    done = sandbox.commands.run("python3 -c 'x = bytearray(200 << 20)'")
    assert done.exit_code not in (0, None), done
    assert say(sandbox, "echo alive") == "alive"


def test_forking_stops_at_the_limit_and_the_sandbox_lives(create):
    sandbox = create(resource={"cpu": "1", "memory": "256Mi", "pids": "32"})
    sandbox.files.write_file("/tmp/forks.py", FORKS)
    made = int(say(sandbox, "python3 /tmp/forks.py"))
    assert 0 < made < 32


def test_commands_have_no_new_privileges_a_system_call_filter_and_few_rights(sandbox):
    found = status(sandbox)
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert int(found[name], 16) & ~ALLOWED_CAPABILITIES == 0, (name, found[name])
    assert int(found["CapInh"], 16) == 0 and int(found["CapAmb"], 16) == 0


@pytest.mark.parametrize("attempt", [
    f"""{CALL}.mount(b'none', b'/mnt', b'tmpfs', 0, None) and 1 or 0)\"""", f"""{CALL}.umount2(b'/etc/resolv.conf', 2) and 1 or 0)\"""",
    "unshare --net true", "mknod /tmp/null c 1 3", "echo 1 > /proc/sys/kernel/panic",
    "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'",
    "python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'",
    "echo x > /opt/opensandbox/execd", "dmesg", "nsenter --target 1 --uts true",
    "date --set '2030-01-01'", "hostname x",
])
def test_root_in_a_sandbox_may_not(sandbox, attempt):
    # 127 would be a program that is not there, and proves nothing.
    assert sandbox.commands.run(attempt).exit_code not in (0, 127, None)


def test_a_sandbox_may_write_what_it_is_told_of_names_and_gains_nothing(create, world):
    sandbox, other = create(network_policy=deny_but("one.example")), create()
    before = say(other, "cat /etc/hosts /etc/hostname /etc/resolv.conf")
    say(sandbox, f"echo nameserver {world.two} > /etc/resolv.conf; echo {world.two} x >> /etc/hosts; echo x > /etc/hostname")
    assert resolves(sandbox, "one.example") and not resolves(sandbox, "two.example")
    assert not fetches(sandbox, "http://x/")
    assert say(other, "cat /etc/hosts /etc/hostname /etc/resolv.conf") == before


def test_the_entrypoint_and_its_environment_are_those_asked_for(create):
    sandbox = create(entrypoint=["sh", "-c", "echo $GREETING $OPENSANDBOX_ID > /tmp/started; exec sleep 1000"],
                     env={"GREETING": "hello there", "OPENSANDBOX_ID": "another's"})
    told = f"hello there {sandbox.id}"
    assert say(sandbox, "for i in $(seq 100); do [ -s /tmp/started ] && break; sleep 0.05; done; cat /tmp/started") == told
    assert say(sandbox, "echo $GREETING $OPENSANDBOX_ID") == told
    assert say(sandbox, "cat /proc/$(pgrep -x sleep)/cmdline | tr '\\0' ' '") == "sleep 1000 "


def test_a_command_runs_as_the_user_asked_for(sandbox):
    done = sandbox.commands.run("id -u; id -g", opts=RunCommandOpts(uid=1000, gid=1000))
    assert "".join(message.text for message in done.logs.stdout).split() == ["1000", "1000"]


def test_one_sandbox_reaches_neither_another_nor_the_host_nor_a_metadata_service(create, world):
    one, two = create(), create()
    address = say(one, "cat /etc/hosts | grep sandbox- | cut -f1")
    # The control: the port does answer on its own machine, and the outside answers.
    say(one, f"(exec 3<>/dev/tcp/{address}/44772)")
    say(two, f"(exec 3<>/dev/tcp/{world.one}/80)")
    for target in (f"{address}/44772", f"{world.host}/22", "169.254.1.1/22", "169.254.169.254/80"):
        assert two.commands.run(f"timeout 3 bash -c 'exec 3<>/dev/tcp/{target}'").exit_code != 0, target
