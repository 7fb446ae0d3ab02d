"""The blocks of shell commands in README.md, SECURITY.md and docs/, and a machine as they take it for given."""

import os
import pathlib
import re
import shlex

from .server import ROOT
from .waiting import patient

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language="sh"):
    """The code of each block of a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", pathlib.Path(page).read_text(), re.M | re.S)


def section(page, heading):
    """The text below a heading of the second level."""
    [text] = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", (ROOT / page).read_text(), re.M | re.S)
    return text


class Reader:
    """Somebody who types what a page says, on the machine of a test's server: its folders and ports stand for those of the page."""

    def __init__(self, server, folder, **variables):
        self.server, self.folder = server, folder
        home = folder / "home"
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        home.mkdir(exist_ok=True)
        program = folder / "bin/sallyport"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(str(server.program))} "$@"\n')
        program.chmod(0o755)
        # A refusal of a server is a failure of the command.
        (home / ".curlrc").write_text("fail-with-body\nmax-time = 60\n")
        (folder / "api-key").write_text(server.key)
        self.environment = {
            "PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(home), "SANDBOX_CONFIG_PATH": str(server.config),
            "OPEN_SANDBOX_DOMAIN": f"127.0.0.1:{server.port}", "OPEN_SANDBOX_API_KEY": server.key, **variables}
        self.places = [
            ("/etc/sallyport/sallyport.toml", str(server.config)), ("/var/lib/sallyport/secrets/api-key", f"{folder}/api-key"),
            ("/var/lib/sallyport", str(server.state)), ("/run/sallyport", f"{server.folder}/run"),
            ("127.0.0.1:8080", f"127.0.0.1:{server.port}"), ("127.0.0.1:28888", f"127.0.0.1:{server.gateway_port}")]

    def type(self, code, status=0):
        """What a shell prints, standard error behind it."""
        for place, own in self.places:
            code = code.replace(place, own)
        done = self.server.run(["bash", "-euo", "pipefail", "-c", code], env=self.environment, cwd=self.folder, timeout=patient(120))
        assert done.returncode == status, f"{code}\n{done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr
