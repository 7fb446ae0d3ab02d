"""`make test-long` runs longer what can run longer, and all of it."""

import pathlib
import re

TREE = pathlib.Path(__file__).parents[2]


def test_every_test_that_can_go_on_longer_does():
    listed = re.search(r"^LONG := ((?:.*\\\n)*.*)", (TREE / "Makefile").read_text(), flags=re.M)[1]
    able = {str(path.relative_to(TREE)) for path in (TREE / "Tests").glob("*/test_*.py") if re.search(r"\btimes\(\d", path.read_text())}
    assert set(listed.replace("\\", "").split()) == able and len(able) > 3
