"""A Debian that has booted with systemd, of Debian's packages alone: what is installed there runs as on a machine of its own."""

import os
import pathlib
import subprocess

from .server import ROOT
from .waiting import eventually, patient

# What the package depends on, so that it installs without a network, and what boots.
NEEDS = ["crun", "skopeo", "umoci", "e2fsprogs", "libmnl0", "libnftnl11", "libsqlite3-0", "libcurl4", "libssl3", "libstdc++6", "iproute2",
         "systemd", "systemd-sysv"]
# The version of the `package` that tests install.
FIRST = "0.0.1"
CONFIGURATION = "/etc/sallyport/sallyport.toml"
# Where systemd has its groups, with either version and with both.
HIERARCHIES = [pathlib.Path("/sys/fs/cgroup"), pathlib.Path("/sys/fs/cgroup/systemd"), pathlib.Path("/sys/fs/cgroup/unified")]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# Of all that a Debian starts, the log alone. The rest is about hardware, terminals and settings of the kernel, which are the host's;
# so is /dev, where the log is not to make its socket.
BOOTS = """
    rm -rf lib/systemd/system/*.target.wants etc/systemd/system/*.wants
    mkdir -p lib/systemd/system/sysinit.target.wants
    ln -s ../systemd-journald.service lib/systemd/system/sysinit.target.wants/
    ln -s /dev/null etc/systemd/system/systemd-journald-dev-log.socket
    ln -sf multi-user.target lib/systemd/system/default.target
    printf '[Journal]\\nReadKMsg=no\\n' > etc/systemd/journald.conf
    printf 'nameserver 127.0.0.1\\n' > etc/resolv.conf
    : > etc/machine-id
"""
# Version 1: systemd mounts each controller that is not mounted, and the kernel then has it for every process of the host. What is
# mounted in the place of those stops it, and its folders are not made in the host's.
GROUPS = """
    if [ -d /sys/fs/cgroup/systemd ]; then
        mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
        for one in /sys/fs/cgroup/*/; do
            mkdir "sys/fs/cgroup/${one#/sys/fs/cgroup/}" && mount --rbind --make-rslave "$one" ".$one"
        done
        for one in cpu,cpuacct net_cls,net_prio $(awk '!/^#/ && $2 == 0 { print $1 }' /proc/cgroups); do
            [ -e "sys/fs/cgroup/$one" ] || { mkdir "sys/fs/cgroup/$one" && mount -t tmpfs tmpfs "sys/fs/cgroup/$one"; }
        done
    fi
"""


class Machine:
    """Its root file system outlives `reboot`; processes, mounts, /run and, unless it is the host's, the network do not."""

    def __init__(self, folder, folders, has_network=True):
        """`folders`: what is where of the host's. `has_network`: one of its own, else the host's."""
        self.folder, self.root, self.folders = folder, folder / "root", folders
        self.namespaces = ["mount", "pid", "uts", "ipc", *(["net"] if has_network else [])]
        self.group = f"machine-{os.getpid()}-{id(self):x}"
        lower = ROOT / ".build-base/package"
        subprocess.run(["scripts/base-image.sh", str(lower), *NEEDS], cwd=ROOT, check=True, capture_output=True, timeout=600)
        for name in ("root", "upper", "work"):
            (folder / name).mkdir(parents=True)
        self.holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "3000"])
        eventually(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"), what="mounts of its own")
        self.outside(f"""
            mount -t overlay overlay -o lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work {self.root}
            cd {self.root}
            {BOOTS}""")
        self.system = None
        self.boot()

    def outside(self, script):
        """Runs before it boots, with the host's programs and its mounts."""
        subprocess.run(["nsenter", "--target", str(self.holder.pid), "--mount", "bash", "-euc", script], check=True, timeout=60)

    def boot(self):
        binds = "\n".join(f"mkdir -p .{place}; mount --bind {one} .{place}" for one, place in self.folders.items())
        script = f"""
            cd {self.root}
            mount -t proc proc proc
            for place in sys dev; do mount --rbind --make-rslave /$place $place; done
            {GROUPS}
            mount -t tmpfs -o mode=755 tmpfs run
            {binds}
            ip link set lo up
            for groups in {" ".join(map(str, HIERARCHIES))}; do
                [ -f $groups/cgroup.procs ] || continue
                mkdir -p $groups/{self.group}
                echo $$ > $groups/{self.group}/cgroup.procs
            done
            # A process in a chroot makes no user namespaces.
            mkdir -p outside && pivot_root . outside
            exec chroot . bash -ec 'umount --lazy /outside && mount --make-rshared / && exec env -i container=test PATH={PATH} \
                /lib/systemd/systemd --log-target=journal --show-status=0'
        """
        with open(self.folder / "console", "ab") as console:
            self.system = subprocess.Popen(
                ["nsenter", "--target", str(self.holder.pid), "--mount", "unshare", "--propagation", "private", "--fork", "--kill-child",
                 *(f"--{one}" for one in self.namespaces), "bash", "-euc", script],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        eventually(self._is_up, within=30, what=lambda: (self.folder / "console").read_text()[-2000:])

    def _is_up(self):
        assert self.system.poll() is None, (self.folder / "console").read_text()[-2000:]
        children = pathlib.Path(f"/proc/{self.system.pid}/task/{self.system.pid}/children").read_text().split()
        if not children or "systemd" not in pathlib.Path(f"/proc/{children[0]}/comm").read_text():
            return False
        self.first = children[0]
        return subprocess.run(self.words("systemctl", "is-system-running"), capture_output=True, text=True).stdout in ("running\n", "degraded\n")

    def halt(self):
        """As by a loss of power."""
        if self.system and self.system.poll() is None:
            self.system.kill()
            self.system.wait()

    def reboot(self):
        self.halt()
        self.boot()

    def words(self, *words, **variables):
        """The command that runs another one there, as root."""
        told = {"PATH": PATH, "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", **variables}
        return ["nsenter", "--target", self.first, *(f"--{one}" for one in self.namespaces), "env", "-i",
                *(f"{name}={value}" for name, value in told.items()), *words]

    def run(self, *words, status=0, **variables):
        """What it prints; with standard error behind it where it should fail."""
        done = subprocess.run(self.words(*words, **variables), capture_output=True, text=True, timeout=patient(120), stdin=subprocess.DEVNULL)
        assert done.returncode == status, f"{words}: {done.returncode} {done.stdout[-3000:]} {done.stderr[-3000:]} {self.journal()}"
        return done.stdout + (done.stderr if status else "")

    def configure(self, text):
        self.run("sh", "-c", f'printf %s "$1" > {CONFIGURATION}', "sh", text)

    def main(self, unit):
        """The number of its first process there; 0 for none."""
        return self.run("systemctl", "show", "--property=MainPID", "--value", unit).strip()

    def journal(self, *words):
        return subprocess.run(self.words("journalctl", "--no-pager", "--output=cat", "--lines=40", *words), capture_output=True, text=True).stdout

    def close(self):
        self.halt()
        self.holder.kill()
        self.holder.wait()
        for hierarchy in HIERARCHIES:
            group = hierarchy / self.group
            if group.exists():
                eventually(lambda: self._remove(group), what=f"the end of {group}")

    @staticmethod
    def _remove(group):
        for path, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                return False
        return True
