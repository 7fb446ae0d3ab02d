"""The numbers of docs/limits.md are the defaults of settings, and what the sources have."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "s": 1}
ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs/limits.md").read_text(), re.M)
ROWS = [row for row in ROWS if row[0] not in ("what", "---")]


def defaults() -> dict[str, str]:
    """`table.key` and its default, of docs/configuration.md, which a Swift test holds to the code."""
    found, table = {}, ""
    for line in (ROOT / "docs/configuration.md").read_text().splitlines():
        if match := re.match(r"## `\[([a-z_.]+)\]`", line):
            table = match[1]
        elif match := re.match(r"\| `([a-z_0-9]+)`(?: ↻)? \| [^|]* \| ([^|]*) \|", line):
            found[f"{table}.{match[1]}"] = match[2].strip().strip("`").strip('"')
    return found


def constant(name: str) -> int:
    """`File.constant`, or `File+Part.constant`: what the source gives it."""
    file, word = name.split(".")
    [path] = (ROOT / "Sources").rglob(f"{file}.swift")
    values = re.findall(rf"\b{word}\b(?: *: *[A-Za-z0-9]+)? *= *([0-9][0-9_]*(?: *<< *[0-9]+)?)", path.read_text())
    assert len(set(values)) == 1, f"{name}: {values}"
    first, *shift = (int(part.replace("_", "")) for part in values[0].split("<<"))
    return first << shift[0] if shift else first


def number(text: str) -> int:
    value, _, unit = text.strip().partition(" ")
    return int(value) * (UNITS[unit] if unit else 1)


def test_there_are_rows():
    assert len(ROWS) > 70


@pytest.mark.parametrize("what, limit, by", [row for row in ROWS if "`" in row[2]], ids=lambda text: text[:40])
def test_a_limit_is_what_the_page_says(what, limit, by):
    names = re.findall(r"`([^`]+)`", by)
    if all("." in name and name.split(".")[-1] in name and name[0].isupper() for name in names):
        assert [constant(name) for name in names] == [number(text) for text in limit.split(",")]
    elif names[0] in defaults() and defaults()[names[0]]:
        assert limit.removesuffix(" s") == defaults()[names[0]]
    else:
        # A table of settings, one whose default depends on the machine, or a field of a request.
        assert names in (["resourceLimits"], ["egress.budgets.connections"], ["ingress.limits"])


def test_what_a_machine_holds_was_measured():
    """The figures of docs/operations.md are those of docs/performance.md."""
    measured = (ROOT / "docs/performance.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| \[.*\]\(performance\.md#.*\) \|$", (ROOT / "docs/operations.md").read_text(), re.M)
    figures = [figure for row in rows for figure in re.findall(r"[0-9][0-9,.]* (?:MiB|KiB|ms|s|µs)", row)]
    assert len(figures) > 8
    shown = measured.replace(" | ", " ")
    missing = [figure for figure in figures if figure not in measured and figure.split()[0] not in shown.split()]
    assert missing == []
