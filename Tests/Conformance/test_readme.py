"""The first example and the tour of the README do what they say."""

import re
import subprocess
import sys

import pytest
from support.server import ROOT

HEADING = "Five-minute tour"


def run(code, server, folder):
    script = folder / "example.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, str(script)], env=server.environment(), cwd=folder, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_example_prints_what_the_readme_says(server, tmp_path):
    top = (ROOT / "README.md").read_text().split("\n## ")[0]
    [code] = re.findall(r"^```python\n(.*?)^```", top, re.S | re.M)
    assert "it prints `denied`" in top
    assert run(code, server, tmp_path) == "denied\n"


@pytest.fixture(scope="module")
def tour():
    """The fenced code of the tour, as (language, code)."""
    text = (ROOT / "README.md").read_text()
    section = re.search(rf"^## {HEADING}\n(.*?)(?=^## |\Z)", text, re.S | re.M)
    if section is None:
        pytest.skip(f"README.md has no section \"{HEADING}\"")
    return re.findall(r"^```(\w+)\n(.*?)^```", section[1], re.S | re.M)


def test_the_tour_installs_the_client_that_this_suite_uses(tour):
    shell = "".join(code for language, code in tour if language == "sh")
    named = set(re.findall(r"opensandbox==[\d.]+", shell))
    assert named == set(re.findall(r"^opensandbox==[\d.]+", (ROOT / "Tests/Conformance/requirements.txt").read_text(), re.M))


def test_the_tour_runs_to_its_end(tour, server, tmp_path):
    programs = [code for language, code in tour if language == "python"]
    assert programs, "the tour has no Python"
    printed = [run(code, server, tmp_path) for code in programs]
    assert "tour complete: Running" in printed[-1]
