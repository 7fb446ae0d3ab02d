"""A namespace for a sidecar, and what can be heard in it of the sidecar's start."""

import contextlib
import ctypes
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time

NAMES = ["closed", "enforcing", "answering names", "API listening"]
# linux/netfilter/nfnetlink.h and nf_tables.h
NFNLGRP_NFTABLES = 7
NEWTABLE, DELTABLE, NEWGEN = (10 << 8 | number for number in (0, 2, 15))
NETLINK_NETFILTER, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 12, 270, 1
# DNS: denied.example, A, IN. No policy here allows it, so that no upstream is asked.
QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06denied\x07example\x00\x00\x01\x00\x01"


class Namespace:
    """With a device, addresses and default routes, as a container engine makes it."""

    def __init__(self, number):
        self.name = f"spb-{os.getpid()}-{number}"

    def __enter__(self):
        self.path = f"/run/netns/{self.name}"
        self.folder = tempfile.mkdtemp(prefix="sallyport-bench-")
        outside = self.name + "-outside"
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, self.folder)
            for name in (self.name, outside):
                subprocess.run(["ip", "netns", "add", name], check=True)
                undo.callback(subprocess.run, ["ip", "netns", "delete", name], check=True)
            for words in ("link set lo up", f"link add eth0 type veth peer name eth0 netns {outside}",
                          "addr add 203.0.113.2/24 dev eth0", "addr add 2001:db8::2/64 dev eth0 nodad",
                          "link set eth0 up", "route add default via 203.0.113.1", "route add default via 2001:db8::1"):
                subprocess.run(["ip", "-n", self.name, *words.split()], check=True)
            subprocess.run(["ip", "-n", outside, "link", "set", "eth0", "up"], check=True)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_):
        self._undo.close()

    def _nft(self, *words):
        return subprocess.run(["ip", "netns", "exec", self.name, "nft", *words], check=True, capture_output=True,
                              text=True).stdout

    def flush(self):
        self._nft("flush", "ruleset")

    def rules(self):
        return self._nft("list", "ruleset")

    @contextlib.contextmanager
    def entered(self):
        """This thread is in the namespace: sockets made meanwhile belong to it."""
        with open("/proc/thread-self/ns/net") as home, open(self.path) as there:
            _set_namespace(there)
            try:
                yield
            finally:
                _set_namespace(home)


def _set_namespace(file):
    if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0):
        raise OSError(ctypes.get_errno(), "setns")


class Moments:
    """When each of `NAMES` was there, in nanoseconds of the monotonic clock."""

    def __init__(self, namespace):
        self.at = {}
        with namespace.entered():
            self.tables = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_NETFILTER)
            self.question = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.tables.bind((0, 0))
        self.tables.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        self.question.connect(("192.0.2.53", 53))
        self.present = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tables.close()
        self.question.close()

    @property
    def sources(self):
        return [self.tables, self.question]

    @property
    def are_complete(self):
        return len(self.at) == len(NAMES)

    def note(self, name):
        self.at.setdefault(name, time.monotonic_ns())

    def hear(self, source):
        if source is self.question:
            answer = source.recv(512)
            assert answer[:2] == QUERY[:2] and answer[3] & 15 == 3, answer
            self.note("answering names")
            return
        while True:
            try:
                messages = source.recv(1 << 17)
            except BlockingIOError:
                return
            while messages:
                self._hear(messages)
                messages = messages[struct.unpack_from("=I", messages)[0] + 3 & ~3:]

    def _hear(self, message):
        length, kind = struct.unpack_from("=IH", message)
        if kind in (NEWTABLE, DELTABLE):
            # nlmsghdr, nfgenmsg, then the name as the first attribute.
            size = struct.unpack_from("=H", message, 20)[0]
            name = message[24:20 + size - 1].decode()
            (self.present.add if kind == NEWTABLE else self.present.discard)(name)
        if kind != NEWGEN:
            return
        # A transaction is in force, as a whole.
        if "sallyport_closed" in self.present:
            self.note("closed")
        elif "closed" in self.at and "enforcing" not in self.at:
            self.note("enforcing")
            self.question.send(QUERY)
