"""docs/cli-reference.md and docs/api-reference.md are what `make reference` makes now."""

import subprocess
import sys

import pytest
from support.server import BINARY, ROOT


def made(which, given=""):
    done = subprocess.run([sys.executable, "-B", ROOT / "scripts/reference_pages.py", which], input=given, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def command_line():
    return subprocess.run([BINARY, "--experimental-dump-help"], capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.mark.parametrize("which", ["cli", "api"])
def test_a_reference_is_what_the_program_and_the_documents_say(which):
    page = (ROOT / f"docs/{which}-reference.md").read_text().splitlines()
    wanted = made(which, command_line() if which == "cli" else "")
    assert page == wanted, "run `make reference`"
    assert len(page) > 200 and any("policy check" in line or "/networkpolicy" in line for line in page)
