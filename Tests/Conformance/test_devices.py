"""Device nodes: however one comes into a sandbox, it does not open (threats, R1)."""

import json
import os
import pathlib
import secrets
import shutil
import subprocess
import tempfile

import pytest
from support.inside import has_user_namespace, keeps_mount_flags, say
from support.leftovers import name_of

# null, zero, full, random, urandom, tty, ptmx
USUAL = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)}
# What the programs add to the list by themselves: the host's console, and tun.
ADDED = {"crun": {("c", 5, 1)}, "runc": {("c", 10, 200)}}
# Opening one would have the machine restart, were the test to find a hole.
WATCHDOG = "watchdog"
OPEN = 'for node in {}/*; do true <"$node" 2>/dev/null && echo "${{node##*/}}"; done; true'


def devices():
    """Every device that the running kernel has: kind, numbers."""
    for kind, folder in (("c", "char"), ("b", "block")):
        for entry in pathlib.Path("/sys/dev", folder).iterdir():
            if WATCHDOG not in entry.resolve().name:
                yield (kind, *map(int, entry.name.split(":")))


def make_nodes(folder):
    folder.mkdir()
    for kind, major, minor in devices():
        mode = 0o666 | (0o020000 if kind == "c" else 0o060000)
        path = folder / f"{kind}-{major}-{minor}"
        os.mknod(path, mode, os.makedev(major, minor))
        path.chmod(mode & 0o777)
    assert len(list(folder.iterdir())) > 20


def opened(text):
    """What a sandbox has opened, but for the nodes that everybody has."""
    found = [line.split("-") for line in text.split()]
    return {(kind, int(major), int(minor)) for kind, major, minor in found if kind == "b" or (int(major), int(minor)) not in USUAL}


def first_process(server, sandbox):
    return int((server.state / "sandboxes" / name_of(sandbox.id) / "pid").read_text())


def test_no_node_opens_among_the_files_of_a_sandbox(either_runtime):
    sandbox = either_runtime.create()
    root = pathlib.Path(f"/proc/{first_process(either_runtime, sandbox)}/root")
    make_nodes(root / "nodes")
    # The control: the host has them, too, and opens some.
    os.close(os.open("/dev/null", os.O_RDONLY))
    found = say(sandbox, OPEN.format("/nodes"))
    if has_user_namespace(sandbox) or keeps_mount_flags(sandbox):
        assert found == ""
    else:
        assert either_runtime.name == "crun" and opened(found) == set()
    # No mknod of the sandbox's own, wherever.
    assert sandbox.commands.run("mknod /tmp/null c 1 3 || mknod /dev/other c 1 3").exit_code not in (0, 127)
    # The usual ones are there, and no others.
    assert say(sandbox, "head -c 3 /dev/zero | wc -c; head -c 1 /dev/urandom | wc -c; echo x > /dev/null").split() == ["3", "1"]
    nodes = say(sandbox, "find /dev -type b -o -type c -not -path '/dev/pts/*'").split()
    assert {node.removeprefix("/dev/") for node in nodes} <= {"null", "zero", "full", "random", "urandom", "tty", "console"}


def test_execd_opens_no_more_than_its_programs(either_runtime, tmp_path):
    """It is in another control group: whoever gets into it, or has execd in his hands, is no freer."""
    sandbox = either_runtime.create()
    lines = pathlib.Path(f"/proc/{first_process(either_runtime, sandbox)}/cgroup").read_text().splitlines()
    groups = dict(line.split(":", 2)[1:] for line in lines)
    group = f"/sys/fs/cgroup/devices{groups['devices']}" if "devices" in groups else f"/sys/fs/cgroup{groups['']}"
    make_nodes(tmp_path / "nodes")
    done = subprocess.run(["/bin/busybox", "sh", "-c", f"echo $$ > {group}/cgroup.procs && {OPEN.format(tmp_path / 'nodes')}"],
                          capture_output=True, text=True, timeout=60)
    assert "c-1-3" in done.stdout.split(), f"the control: /dev/null; {done.stderr}"
    assert opened(done.stdout) == set(), "not even what the runtime adds to the list"


@pytest.fixture(scope="module")
def sent(either_runtime):
    """The lines that a sandbox's OCI runtime was given, and the runtime."""
    sandbox = either_runtime.create()
    bundle = either_runtime.state / "sandboxes" / name_of(sandbox.id) / "bundle/config.json"
    yield either_runtime.name, json.loads(bundle.read_text())["linux"]["resources"]["devices"]
    sandbox.kill()
    sandbox.close()


@pytest.mark.parametrize("version", [1, 2])
def test_the_control_group_opens_the_usual_nodes_only(sent, version):
    """Apart from `nodev`: a container of these lines alone, on a file system where nodes do open."""
    runtime, lines = sent
    name = "sallyport-test-" + secrets.token_hex(4)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-devices-"))
    try:
        root = folder / "rootfs"
        (root / "bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin/busybox")
        make_nodes(root / "nodes")
        (folder / "config.json").write_text(json.dumps({
            "ociVersion": "1.0.2", "root": {"path": str(root)}, "hostname": "x",
            "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"],
                        "args": ["/bin/busybox", "sh", "-c", OPEN.format("/nodes")]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")], "cgroupsPath": f"/{name}",
                      "resources": {"devices": lines}}}))
        done = subprocess.run(["unshare", "--mount", "sh", "-c", alone(version) + f'exec {runtime} run --bundle "$0" {name}', str(folder)],
                              capture_output=True, text=True, timeout=60)
        if done.returncode and "RLIM_MEMLOCK" in done.stderr:
            pytest.skip("this machine does not let crun raise the limit that its program for version 2 needs")
        assert done.returncode == 0, done.stderr
        assert "c-1-3" in done.stdout.split(), "the control: /dev/null"
        assert opened(done.stdout) <= ADDED[runtime]
    finally:
        shutil.rmtree(folder)


def alone(version):
    """Shell that leaves one version of control groups to be seen, as on most machines."""
    groups = pathlib.Path("/sys/fs/cgroup")
    if version == 2:
        if (groups / "cgroup.controllers").exists():
            return ""
        return "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 9; "
    if not (groups / "devices").exists():
        pytest.skip("this machine has no version 1")
    return "umount /sys/fs/cgroup/unified 2>/dev/null; "
