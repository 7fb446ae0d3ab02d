"""`sallyport support-bundle`: what it says of a server that runs, of one that does not, and to whom (docs/debugging.md)."""

import os
import stat
import subprocess
import tarfile

import pytest
from support.server import AllInOneServer, BINARY


@pytest.fixture(scope="module")
def helped(world):
    server = AllInOneServer(world)
    try:
        yield server.start()
    finally:
        server.tear_down()


def bundle(server, output, **more):
    return subprocess.run(
        [BINARY, "support-bundle", "--config", server.config, "--output", output, "--log", server.log],
        capture_output=True, text=True, timeout=60, **more)


def files(archive):
    with tarfile.open(archive) as tar:
        return {os.path.basename(member.name): tar.extractfile(member).read().decode() for member in tar.getmembers()}


def test_a_bundle_is_made_while_the_server_runs_and_when_it_does_not(helped, tmp_path):
    secrets = [path.read_text().strip() for path in (helped.folder / "state" / "secrets").iterdir()] + [helped.key]
    sandbox = helped.create(env={"TOLD": "value-of-a-variable"}, metadata={"team": "label-of-a-user"})
    try:
        for state in ("runs", "stands"):
            if state == "stands":
                helped.stop()
            archive = tmp_path / f"{state}.tar.gz"
            made = bundle(helped, archive)
            assert made.returncode == 0, made.stderr
            assert stat.S_IMODE(archive.stat().st_mode) == 0o600
            found = files(archive)
            assert ("/health: 200" in found["status.txt"]) == (state == "runs")
            assert "Running: 1" in found["state.txt"] and "folders of sandboxes: 1" in found["state.txt"]
            everything = "".join(found.values())
            for secret in secrets + ["value-of-a-variable", "label-of-a-user"]:
                for word in [secret] + secret.replace(",", " ").replace("base64:", " ").replace('"', " ").split():
                    assert len(word) < 20 or word not in everything
    finally:
        helped.start()
        sandbox.kill()
        sandbox.close()


def test_who_is_not_root_is_told_so_and_gets_nothing(helped, tmp_path):
    tmp_path.chmod(0o777)
    refused = bundle(helped, tmp_path / "theirs.tar.gz", user=65534, group=65534, extra_groups=[], env={"HOME": "/"})
    assert refused.returncode == 1 and "as root" in refused.stderr, refused.stderr
    assert not list(tmp_path.iterdir())
