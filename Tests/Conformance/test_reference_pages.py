"""docs/cli-reference.md and docs/api-reference.md are what `make reference` makes now."""

import os
import pathlib
import subprocess
import sys

import pytest
from support.server import BINARY, ROOT

BESIDE = pathlib.Path(BINARY)
PROGRAMS = [BINARY, os.environ.get("SALLYPORT_INGRESS", BESIDE.with_name("sallyport-ingress")),
            os.environ.get("SALLYPORT_SIDECAR", BESIDE.with_name("sallyport-egress"))]


def made(*words):
    done = subprocess.run([sys.executable, "-B", ROOT / "scripts/reference_pages.py", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("which", ["cli", "api"])
def test_a_reference_is_what_the_programs_and_the_documents_say(which):
    page = (ROOT / f"docs/{which}-reference.md").read_text().splitlines()
    wanted = made(which, *(PROGRAMS if which == "cli" else []))
    assert page == wanted, "run `make reference`"
    assert len(page) > 200 and any("policy check" in line or "/networkpolicy" in line for line in page)
