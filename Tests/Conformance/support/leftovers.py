"""Counts what sandboxes of one server consist of. After everything is deleted there is none of it."""

import hashlib
import pathlib
import socket
import sqlite3
import subprocess

GROUPS = pathlib.Path("/sys/fs/cgroup")


def name_of(sandbox):
    """What a sandbox is called where every user of the machine can read it: of its folder, group, namespace and container."""
    return hashlib.sha256(sandbox.encode()).hexdigest()[:32]


def control_groups():
    """Every sandbox's control groups on this machine, whoever made them."""
    return set(GROUPS.glob("*/sallyport/*/")) | {p for p in GROUPS.glob("sallyport/*") if p.is_dir()}


class Leftovers:
    """What of a server is on this machine, told apart from other servers' by its tag and its folder."""

    def __init__(self, tag, state):
        self.tag = tag
        self.state = pathlib.Path(state)
        self.groups_before = control_groups()

    def namespaces(self):
        return [p.name for p in (self.state.parent / "run/netns").glob("*")]

    def links(self):
        # Of this network namespace, whichever /sys shows.
        return [name for _, name in socket.if_nameindex() if name.startswith(f"spv{self.tag}")]

    def mounts(self):
        lines = pathlib.Path("/proc/self/mounts").read_text().splitlines()
        return [line.split()[1] for line in lines if f"{self.state.parent}/" in line]

    def processes(self):
        """Processes that live in a root file system of this server."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if f"upperdir={self.state}/" in (folder / "mountinfo").read_text():
                    found.append(int(folder.name))
            except OSError:
                continue
        own = {int(p.name) for p in pathlib.Path("/proc/self/task").glob("*")}
        here = pathlib.Path("/proc/self/ns/mnt").readlink()
        return [pid for pid in found if pid not in own and self._mount_namespace(pid) not in (here, None)]

    @staticmethod
    def _mount_namespace(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/ns/mnt").readlink()
        except OSError:
            return None

    def folders(self):
        return [p.name for p in (self.state / "sandboxes").glob("[!.]*")]

    def removed(self):
        """Files of deleted sandboxes that are still there."""
        return [p.name for p in (self.state / "sandboxes/.removed").glob("*")]

    def snapshots(self):
        """What there is of snapshots: records, layers and unfinished ones."""
        return [f"{p.parent.name}/{p.name}" for p in (self.state / "snapshots").glob("*/*")]

    def disks(self):
        """Loop devices that show a file of this server."""
        found = []
        for file in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                found += [file.parts[3]] if str(self.state) in file.read_text() else []
            except OSError:
                continue
        return found

    def policies(self):
        """Records of the guard."""
        return [p.name for p in (self.state / "egress").rglob("*") if p.is_file() and p.name != "lock"]

    def rows(self):
        database = self.state / "sallyport.db"
        if not database.exists():
            return []
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)
        try:
            return [row[0] for row in connection.execute("select id from sandbox")]
        finally:
            connection.close()

    def groups(self, mine=()):
        """Control groups made since the start that are empty, or of a sandbox that is known to be of this server."""
        found = []
        for group in control_groups() - self.groups_before:
            # Processes of a sandbox are in groups below its own.
            try:
                empty = not any(members.read_text().strip() for members in group.rglob("cgroup.procs"))
            except OSError:
                continue
            if empty or group.name in mine:
                found.append(str(group))
        return found

    @staticmethod
    def containers(names):
        """What the OCI runtime keeps of sandboxes."""
        return [name for name in names for runtime in ("crun", "runc") if pathlib.Path(f"/run/{runtime}/{name}").exists()]

    def tables(self):
        lines = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout.splitlines()
        return [line for line in lines if line.split()[-1] == f"sallyport_{self.tag}"]

    def everything(self, mine=()):
        """What there is of sandboxes, by kind; the kinds of which there is nothing are left out.

        `mine` are ids, or names of folders where no more is known of a sandbox.
        """
        names = {name_of(sandbox) for sandbox in mine} | set(mine)
        found = {
            "namespaces": self.namespaces(), "links": self.links(), "mounts": self.mounts(),
            "processes": self.processes(), "folders": self.folders(), "removed": self.removed(), "disks": self.disks(),
            "policies": self.policies(), "snapshots": self.snapshots(),
            "rows": self.rows(), "groups": self.groups(names), "containers": self.containers(names),
        }
        return {kind: things for kind, things in found.items() if things}

    def things(self):
        """All of it as a set; without control groups, which other servers have, too."""
        kinds = {kind: things for kind, things in self.everything().items() if kind not in ("groups", "containers")}
        return {(kind, str(thing)) for kind, things in kinds.items() for thing in things}
