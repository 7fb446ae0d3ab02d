"""The tour of the README does what it says."""

import re
import subprocess
import sys

import pytest
from support.appliance import ROOT

HEADING = "Five-minute tour"


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


def test_the_tour_runs_to_its_end(tour, appliance, tmp_path):
    programs = [code for language, code in tour if language == "python"]
    assert programs, "the tour has no Python"
    for number, code in enumerate(programs):
        script = tmp_path / f"tour{number}.py"
        script.write_text(code)
        done = subprocess.run([sys.executable, str(script)], env=appliance.environment(), cwd=tmp_path,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "tour complete: Running" in done.stdout
