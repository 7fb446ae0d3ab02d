"""The server of the Debian package, as systemd runs it."""

import subprocess

from .machine import Machine
from .server import BASE_IMAGE, AllInOneServer
from .waiting import patient


class Unit:
    """A unit of systemd, where tests know the process of a server."""

    def __init__(self, machine, name):
        self.machine, self.name = machine, name

    def poll(self):
        return None if self._control("is-active", "--quiet").returncode == 0 else 1

    @property
    def returncode(self):
        return self.poll()

    def send_signal(self, signal):
        self._control("kill", "--kill-whom=main", f"--signal={int(signal)}")

    def kill(self):
        self._control("stop")

    def wait(self, timeout=None):
        self._control("stop")

    def _control(self, *words):
        return subprocess.run(self.machine.words("systemctl", *words, self.name), capture_output=True, text=True, timeout=patient(60))


class InstalledServer(AllInOneServer):
    """On a machine that has the host's network, so that tests reach it as they reach another server; `folders` of the host are on it."""

    program = "/usr/bin/sallyport"

    def __init__(self, folder, package, world, folders=(), **more):
        super().__init__(world, **more)
        shared = {place: place for place in (self.folder, BASE_IMAGE, package.parent, *folders)}
        self.machine = Machine(folder, shared, has_network=False)
        self.machine.run("dpkg", "--install", str(package))
        self.machine.configure(self.config.read_text())

    def write_configuration(self):
        super().write_configuration()
        # What the package has itself; and there is no environment to give a unit its key.
        kept = [line for line in self.config.read_text().splitlines() if not line.startswith(("execd =", "presets =", "api_key ="))]
        kept.insert(kept.index("[server]") + 1, f'api_key = "{self.key}"')
        self.config.write_text("\n".join(kept) + "\n")

    def launch(self):
        self.machine.run("systemctl", "start", "sallyport")
        return Unit(self.machine, "sallyport")

    def run(self, words, *, cwd, env, **options):
        return super().run(self.machine.words("env", f"--chdir={cwd}", *words, **env), cwd=None, env=None, **options)

    def last_words(self):
        return self.machine.journal()

    def tear_down(self):
        try:
            super().tear_down()
        finally:
            self.machine.close()
