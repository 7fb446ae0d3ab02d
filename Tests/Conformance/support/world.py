"""The outside that sandboxes may or may not reach: a namespace of its own behind the host, and its name server."""

import pathlib
import random
import subprocess
import sys
import threading

from .name_server import NameServer
from .waiting import eventually, patient


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=patient(20))
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class World:
    """`one`, `two`, `three` are addresses outside; `one_v6`, `two_v6` likewise.

    Routes are to single addresses, and the kernel refuses a second one to the same: a suite that runs within another's test, or
    beside it, takes the next block of eight that is free.
    """

    def __init__(self, far=False):
        """`far`: its name server is not on loopback, for guards in networks of their own."""
        number = random.randrange(1, 0xFFFF)
        self.name = f"qc{number:x}"
        self.namespace = f"conf-{number:x}"
        self.one_v6, self.two_v6 = (f"2001:db8:{number:x}::{i}" for i in (1, 2))
        self.host_v6 = f"2001:db8:{number:x}::ff"
        self.events = []
        self.names = self._server = None
        try:
            self._connect_free()
            self.names = NameServer(self.host if far else "127.0.0.1")
            self._serve()
        except BaseException:
            self.close()
            raise
        self.names.add("one.example", self.one, self.one_v6)
        self.names.add("two.example", self.two, self.two_v6)
        self.names.add("three.example", self.three)
        self.names.add("alias.example", "one.example")
        self.names.add("deep.wild.example", self.three)
        self.names.add("inside.example", "10.1.2.3", "127.0.0.1", "169.254.169.254")

    def _connect_free(self):
        blocks = list(range(16, 248, 8))
        random.shuffle(blocks)
        while True:
            base = blocks.pop()
            self.one, self.two, self.three = (f"198.51.100.{base + i}" for i in range(3))
            self.host = f"198.51.100.{base + 7}"
            try:
                return self._connect()
            except RuntimeError as refused:
                if "File exists" not in str(refused) or not blocks:
                    raise
                self._disconnect()

    def _connect(self):
        run("ip", "netns", "add", self.namespace)
        run("ip", "link", "add", self.name, "type", "veth", "peer", "name", "up0", "netns", self.namespace)
        inside = ("ip", "-n", self.namespace)
        for host, others, length in (
            (self.host, (self.one, self.two, self.three), "32"),
            (self.host_v6, (self.one_v6, self.two_v6), "128"),
        ):
            dad = ["nodad"] if length == "128" else []
            run("ip", "address", "add", f"{host}/{length}", "dev", self.name, *dad)
            for address in others:
                run(*inside, "address", "add", f"{address}/{length}", "dev", "up0", *dad)
        run("ip", "link", "set", self.name, "up")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "link", "set", "up0", "up")
        for host, others, length in (
            (self.host, (self.one, self.two, self.three), "32"),
            (self.host_v6, (self.one_v6, self.two_v6), "128"),
        ):
            for address in others:
                run("ip", "route", "add", f"{address}/{length}", "dev", self.name, "src", host)
            run(*inside, "route", "add", f"{host}/{length}", "dev", "up0")
            run(*inside, *(["-6"] if length == "128" else []), "route", "add", "default", "via", host, "dev", "up0")

    def _serve(self):
        script = pathlib.Path(__file__).with_name("outside.py")
        self._server = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.namespace}", sys.executable, "-u", str(script),
             self.one, self.two, self.three, self.one_v6, self.two_v6],
            stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, daemon=True).start()
        eventually(lambda: "ready" in self.events, what="the outside")

    def _listen(self):
        for line in self._server.stdout:
            self.events.append(line.strip())

    def heard(self, text):
        """How often something that contains `text` reached the outside."""
        return sum(text in event for event in self.events)

    def is_there(self):
        return pathlib.Path(f"/run/netns/{self.namespace}").exists() or pathlib.Path(f"/sys/class/net/{self.name}").exists()

    def close(self):
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        self._disconnect()
        if self.names is not None:
            self.names.close()

    def _disconnect(self):
        subprocess.run(["ip", "link", "delete", self.name], capture_output=True)
        subprocess.run(["ip", "netns", "delete", self.namespace], capture_output=True)
