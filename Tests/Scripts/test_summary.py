"""The closing of a run of all tests names what failed, and counts nothing that did not end as passed."""

import importlib.util
import pathlib

import pytest

path = pathlib.Path(__file__).parents[2] / "scripts" / "summary.py"
specification = importlib.util.spec_from_file_location("summary", path)
summary = importlib.util.module_from_spec(specification)
specification.loader.exec_module(summary)

LISTED = """\
EgressTests.ClosedTests/`nothing gets out`()
EgressTests.ClosedTests/`a name with "quotes" in it`()
EgressTests.ClosedTests/plain(name:value:)
RedisTests.RESPTests/`one`()
"""
EGRESS = """\
Test Suite 'Selected tests' passed at 2026-11-21 13:32:00.496
◇ Test run started.
◇ Test "nothing gets out" started.
◇ Test "a name with "quotes" in it" started.
◇ Test plain(name:value:) started.
✔ Test "a name with "quotes" in it" passed after 0.783 seconds.
✔ Test plain(name:value:) with 4 test cases passed after 0.001 seconds.
"""
EGRESS_PASSED = EGRESS + """\
✔ Test "nothing gets out" passed after 0.758 seconds.
✔ Suite ClosedTests passed after 0.782 seconds.
✔ Test run with 3 tests in 1 suite passed after 0.783 seconds.
"""
EGRESS_FAILED = EGRESS + """\
✘ Test "nothing gets out" recorded an issue at ClosedTests.swift:71:9: Expectation failed: sink.isEmpty
↳ there was something to stop
✘ Test "nothing gets out" failed after 4.816 seconds with 1 issue.
✘ Suite ClosedTests failed after 28.776 seconds with 1 issue.
✘ Test run with 3 tests in 1 suite failed after 44.839 seconds with 1 issue.
"""
REDIS = """\
◇ Test "one" started.
✔ Test "one" passed after 0.1 seconds.
✔ Test run with 1 test in 1 suite passed after 0.101 seconds.
"""
PYTEST = """\
collected 5 items

Tests/Gateway/test_slow.py .....                                         [100%]

============================== 5 passed in 1.51s ===============================
"""
PYTEST_FAILED = """\
collected 6 items / 1 deselected / 5 selected

Tests/Gateway/test_slow.py .Fs.E                                         [100%]

=================================== FAILURES ===================================
FAILED in a captured text is no failure
=========================== short test summary info ============================
SKIPPED [1] Tests/Gateway/test_slow.py:3: no kernel for it
FAILED Tests/Gateway/test_slow.py::test_head[a b] - AssertionError: assert 1 == 2
ERROR Tests/Gateway/test_slow.py::test_end - OSError: no
======= 1 failed, 2 passed, 1 skipped, 1 deselected, 1 error in 61.20s (0:01:01) ========
"""


@pytest.fixture
def run(tmp_path):
    """The closing of a run with these logs; each is a text and an exit status."""

    def run(egress=(EGRESS_PASSED, 0), redis=(REDIS, 0), pytest=(PYTEST, 0), listed=LISTED):
        (tmp_path / "tests").write_text(listed)
        for name, (log, status) in {"EgressTests": egress, "RedisTests": redis, "pytest": pytest}.items():
            (tmp_path / f"{name}.log").write_text(log)
            (tmp_path / f"{name}.status").write_text(f"{status}\n")
        text, is_well = summary.summarize(tmp_path)
        return text, is_well

    return run


def test_all_passed_is_one_line(run):
    assert run() == ("9 passed, 0 failed, 0 skipped", True)


def test_a_failed_test_is_named_with_its_issue_and_place(run):
    text, is_well = run(egress=(EGRESS_FAILED, 1))
    assert not is_well
    assert text.splitlines() == [
        "",
        "What failed:",
        'EgressTests: "nothing gets out"',
        "    ClosedTests.swift:71:9: Expectation failed: sink.isEmpty",
        "        ↳ there was something to stop",
        "8 passed, 1 failed, 0 skipped",
    ]


def test_an_issue_with_arguments_in_the_middle_of_a_line_is_found(run):
    log = EGRESS_FAILED.replace("\n✘ Test", "\nhalf a line✘ Test", 1)
    log = log.replace("an issue at", 'an issue with 1 argument name → "x" at')
    text, _ = run(egress=(log, 1))
    assert '    with 1 argument name → "x" at ClosedTests.swift:71:9: Expectation failed' in text
    assert text.endswith("\n8 passed, 1 failed, 0 skipped")


def test_colours_are_left_out(run):
    log = EGRESS_FAILED.replace("✘", "\x1b[91m✘\x1b[0m").replace("✔", "\x1b[92m✔\x1b[0m")
    assert run(egress=(log, 1)) == run(egress=(EGRESS_FAILED, 1))


def test_an_issue_of_no_test_is_named(run):
    issue = "✘ An unknown test recorded an issue at Late.swift:1:2: Caught error: late\n"
    text, is_well = run(egress=(EGRESS_PASSED + issue, 1))
    assert not is_well
    assert "EgressTests: An unknown test\n    Late.swift:1:2: Caught error: late\n" in text


def test_a_crashed_module_is_named_and_its_lost_tests_are_not_passed(run):
    crash = "error: Process '/build/tests' exited with unexpected signal code 11\n"
    text, is_well = run(egress=(EGRESS + crash, 1))
    assert not is_well
    assert "EgressTests: ended with status 1, 1 of its 3 tests have no result" in text
    assert "unexpected signal code 11" in text and '    "nothing gets out"\n' in text
    assert text.endswith("\n8 passed, 1 failed, 0 skipped")


@pytest.mark.parametrize("status", [124, 137])
def test_a_module_that_hangs_is_named_with_the_test_that_did_not_end(run, status):
    text, is_well = run(egress=(EGRESS, status))
    assert not is_well
    assert 'EgressTests: timed out, 1 of its 3 tests have no result\n    "nothing gets out"\n' in text


def test_a_module_that_printed_nothing_is_named(run):
    text, is_well = run(redis=("", 1))
    assert not is_well
    assert "RedisTests: ended with status 1, 1 of its 1 tests have no result" in text
    assert text.endswith("\n8 passed, 1 failed, 0 skipped")


def test_a_module_that_ran_fewer_tests_than_it_has_is_named(run):
    text, is_well = run(listed=LISTED + "RedisTests.RESPTests/`two`()\n")
    assert not is_well
    assert "RedisTests: ended with status 0, 1 of its 2 tests have no result" in text


def test_a_status_that_no_test_explains_is_named(run):
    text, is_well = run(redis=(REDIS + "leaks at exit\n", 1))
    assert not is_well
    assert "RedisTests: ended with status 1, and no test says why" in text and "leaks at exit" in text


def test_a_skipped_test_is_no_passed_one(run):
    log = REDIS.replace("✔ Test \"one\" passed after 0.1 seconds.", '➜ Test "one" skipped: "no redis"')
    assert run(redis=(log, 0)) == ("8 passed, 0 failed, 1 skipped", True)


def test_no_test_at_all_is_a_failure(run):
    text, is_well = run(listed="")
    assert not is_well and "no Swift test ran" in text


def test_failures_and_errors_of_pytest_are_named(run):
    text, is_well = run(pytest=(PYTEST_FAILED, 1))
    assert not is_well
    assert text.splitlines()[2:] == [
        "pytest: FAILED Tests/Gateway/test_slow.py::test_head[a b] - AssertionError: assert 1 == 2",
        "pytest: ERROR Tests/Gateway/test_slow.py::test_end - OSError: no",
        "6 passed, 2 failed, 1 skipped",
    ]


def test_a_pytest_that_hangs_is_named_with_the_file(run):
    text, is_well = run(pytest=(PYTEST.partition("...")[0] + ".", 124))
    assert not is_well
    assert "pytest: timed out, 5 of 5 tests have no result; last in Tests/Gateway/test_slow.py" in text
    assert text.endswith("\n4 passed, 5 failed, 0 skipped")


def test_an_interrupted_pytest_names_what_failed_before_and_counts_the_rest(run):
    log = PYTEST_FAILED.replace("1 failed, 2 passed, 1 skipped, 1 deselected, 1 error", "1 failed, 1 passed")
    text, is_well = run(pytest=(log, 124))
    assert not is_well
    assert "test_head[a b] - AssertionError" in text and "3 of 5 tests have no result" in text
    assert text.endswith("\n5 passed, 4 failed, 0 skipped")


def test_a_clients_set_up_that_fails_is_named(run):
    text, is_well = run(pytest=("error: no such product\n", 1))
    assert not is_well and "pytest: ended with status 1" in text
