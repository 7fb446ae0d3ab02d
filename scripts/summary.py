#!/usr/bin/env python3
"""Closes a run of all tests: what failed, then one line of totals.

    scripts/summary.py DIRECTORY

The directory holds `tests` (the output of `swift test list`), and for each module NAME.log and NAME.status (the output
and the exit status of its run); `pytest.log` and `pytest.status` are those of pytest. See durations.py for `times`. Ends with 1 unless all is well.
A test that was to run and has no result counts as failed: its process crashed or was ended by `timeout`.
"""

import dataclasses
import pathlib
import re
import sys

# The exit statuses of timeout(1): it sent its signal; it had to send SIGKILL.
TIMED_OUT = (124, 137)
SHOWN = 10

COLOUR = re.compile(r'\x1b\[[0-9;]*m')
TEST = r'Test (".*"|[^\s"]+\([^)]*\))(?: with \d+ test cases?)?'
ISSUE = re.compile(r'✘ (.*?) recorded an issue (.*)')
FAILED = re.compile(rf'✘ {TEST} failed after')
PASSED = re.compile(rf'✔ {TEST} passed after')
SKIPPED = re.compile(rf'➜ {TEST} skipped')
STARTED = re.compile(rf'◇ {TEST} started')
CLOSING = re.compile(r'Test run with (\d+) tests?\b')
CRASH = re.compile(r'error: .*(?:unexpected signal|Exited with)|Fatal error: |Illegal instruction|Segmentation fault')

REASONS = re.compile(r'^=+ short test summary info =+$')
REASON = re.compile(r'^(?:FAILED|ERROR) ')
COUNTS = re.compile(r'\b\d+ (?:passed|failed|errors?|skipped|xfailed|xpassed)\b.* in [\d.]+s')
COLLECTED = re.compile(r'^collected (\d+) items?(?:.* / (\d+) deselected)?')
PROGRESS = re.compile(r'^(\S+\.py) [.FEsxXfR]')


@dataclasses.dataclass
class Outcome:
    """What a module, or pytest, comes to; `failures` has a text for each that a reader must look at."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)


def first(items):
    """The first few of many."""
    shown = "".join(f"\n    {item}" for item in items[:SHOWN])
    return shown + (f"\n    and {len(items) - SHOWN} more" if len(items) > SHOWN else "")


def ending(status):
    return "timed out" if status in TIMED_OUT else f"ended with status {status}"


def issues_of(lines):
    """Every recorded issue by the name of its test: the issue's line and the comments below it."""
    issues = {}
    for at, line in enumerate(lines):
        found = ISSUE.search(line)
        if not found:
            continue
        name = re.fullmatch(TEST, found[1])
        text = re.sub(r"^at ", "", found[2])
        comments = [below.strip() for below in lines[at + 1 : at + 4]]
        while comments and not comments[-1].startswith("↳"):
            comments.pop()
        issues.setdefault(name[1] if name else found[1], []).append("\n        ".join([text] + comments))
    return issues


def swift_module(name, listed, log, status):
    """A module of `listed` tests whose run printed `log`."""
    lines = COLOUR.sub("", log).splitlines()
    passed, failed, skipped, started = (
        [found[1] for line in lines if (found := pattern.search(line))]
        for pattern in (PASSED, FAILED, SKIPPED, STARTED)
    )
    issues = issues_of(lines)
    closing = [int(found[1]) for line in lines if (found := CLOSING.search(line))]
    outcome = Outcome(skipped=len(skipped))
    named = list(dict.fromkeys(failed + list(issues)))
    for test in named:
        outcome.failures.append(f"{name}: {test}{first(issues.get(test, []))}")
    if closing:
        ran = sum(closing)
        outcome.failed = len(failed)
        outcome.passed = max(ran - len(failed) - len(skipped), 0)
    else:
        ran = len(passed) + len(failed) + len(skipped)
        outcome.failed = len(failed)
        outcome.passed = len(passed)
    lost = max(listed - ran, 0)
    if lost or not closing:
        outcome.failed += lost
        # By how often a name occurs, since one name may be that of two tests.
        unended = list(started)
        for test in passed + failed + skipped:
            if test in unended:
                unended.remove(test)
        why = [line.strip() for line in lines if CRASH.search(line)] + unended
        outcome.failures.append(f"{name}: {ending(status)}, {lost} of its {listed} tests have no result{first(why)}")
    elif status and not named:
        last = [line.strip() for line in lines if line.strip()][-3:]
        outcome.failures.append(f"{name}: {ending(status)}, and no test says why{first(last)}")
    return outcome


def pytest_run(log, status):
    lines = log.splitlines()
    outcome = Outcome()
    start = max((at for at, line in enumerate(lines) if REASONS.match(line)), default=len(lines))
    for line in lines[start:]:
        if REASON.match(line):
            outcome.failures.append("pytest: " + line)
    closing = next((line for line in reversed(lines) if COUNTS.search(line)), "")
    count = {kind.rstrip("s"): int(number) for number, kind in re.findall(r"(\d+) ([a-z]+)", closing)}
    outcome.passed = count.get("passed", 0)
    outcome.failed = count.get("failed", 0) + count.get("error", 0)
    outcome.skipped = count.get("skipped", 0) + count.get("xfailed", 0)
    collected = next((found for line in lines if (found := COLLECTED.match(line))), None)
    expected = int(collected[1]) - int(collected[2] or 0) if collected else 0
    # An error of a fixture may come beside a result of the same test.
    lost = expected - sum(count.get(kind, 0) for kind in ("passed", "failed", "skipped", "xfailed", "xpassed"))
    lost -= min(count.get("error", 0), max(lost, 0))
    if lost > 0 or not closing or outcome.passed + outcome.failed == 0:
        outcome.failed += max(lost, 0)
        file = next((found[1] for line in reversed(lines) if (found := PROGRESS.match(line))), "no file")
        outcome.failures.append(f"pytest: {ending(status)}, {lost} of {expected} tests have no result; last in {file}")
    elif status and not outcome.failures:
        last = [line.strip() for line in lines if line.strip()][-3:]
        outcome.failures.append(f"pytest: {ending(status)}, and no test says why{first(last)}")
    return outcome


def summarize(directory):
    """The closing text, and whether all is well."""
    directory = pathlib.Path(directory)

    def read(name):
        path = directory / name
        return path.read_text(errors="replace") if path.exists() else ""

    def status(name):
        return int(read(f"{name}.status").strip() or 1)

    listed = {}
    for line in read("tests").splitlines():
        if found := re.match(r"([A-Za-z_]\w*)\.", line):
            listed[found[1]] = listed.get(found[1], 0) + 1
    outcomes = [swift_module(name, listed[name], read(f"{name}.log"), status(name)) for name in sorted(listed)]
    if not outcomes:
        outcomes.append(Outcome(failures=["no Swift test ran"]))
    outcomes.append(pytest_run(read("pytest.log"), status("pytest")))
    failures = [text for outcome in outcomes for text in outcome.failures]
    passed, failed, skipped = (
        sum(getattr(outcome, kind) for outcome in outcomes) for kind in ("passed", "failed", "skipped")
    )
    heading = ["", "What failed:"] if failures else []
    totals = f"{passed} passed, {failed} failed, {skipped} skipped"
    return "\n".join(heading + failures + [totals]), not failures and failed == 0


if __name__ == "__main__":
    import durations

    print(durations.table(sys.argv[1]))
    text, is_well = summarize(sys.argv[1])
    print(text)
    sys.exit(0 if is_well else 1)
