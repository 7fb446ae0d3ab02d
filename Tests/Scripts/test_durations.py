"""Where the time of a run of all tests went, as its last lines say it."""

import importlib.util
import pathlib

path = pathlib.Path(__file__).parents[2] / "scripts" / "durations.py"
specification = importlib.util.spec_from_file_location("durations", path)
durations = importlib.util.module_from_spec(specification)
specification.loader.exec_module(durations)

REPORT = """<?xml version="1.0"?><testsuites><testsuite>
<testcase classname="Tests.Gateway.test_slow" name="one" time="61.5"/>
<testcase classname="Tests.Gateway.test_slow" name="two" time="1.0"><failure message="x"/></testcase>
<testcase classname="Tests.Faults.test_races" name="one" time="70"/>
</testsuite></testsuites>"""


def test_steps_keep_their_order_and_files_stand_by_their_time(tmp_path):
    (tmp_path / "times").write_text("125 building the tests\n3 JSONTests\n")
    (tmp_path / "pytest.xml").write_text(REPORT)
    assert durations.table(tmp_path).splitlines() == [
        "", "Where the time went (minutes:seconds):", "  2:05  building the tests", "  0:03  JSONTests", "  2:08  together",
        "", "The slowest files of pytest:", "  1:10  Tests/Faults/test_races.py (1)", "  1:02  Tests/Gateway/test_slow.py (2)"]


def test_steps_that_ran_side_by_side_take_together_what_the_clock_says(tmp_path):
    (tmp_path / "times").write_text("90 building one, beside the next\n100 building the next\n")
    (tmp_path / "together").write_text("104\n")
    assert durations.table(tmp_path).splitlines()[-1] == "  1:44  together"


def test_what_was_not_measured_or_was_cut_off_is_left_out(tmp_path):
    assert durations.table(tmp_path) == ""
    (tmp_path / "times").write_text("nonsense\n\n7 pytest\n")
    (tmp_path / "pytest.xml").write_text(REPORT[:80])
    assert durations.table(tmp_path).splitlines()[2:] == ["  0:07  pytest", "  0:07  together"]
