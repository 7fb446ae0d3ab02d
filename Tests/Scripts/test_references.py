"""Pages, sections and threats that a source, a test or a page names are in this repository, and so are the glossary's types."""

import os
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A page of docs/, or one at the root, whose names are in capitals; perhaps one of its sections.
PAGE = re.compile(r"(?<![\w/.-])((?:docs/)+[\w-]+\.md|[A-Z]{4,}\.md)(?:#([\w-]+))?")
LINK = re.compile(r"\]\((?!\w+://)([^)#\s]*)(?:#([^)\s]+))?\)")
THREAT = re.compile(r"docs/threats\.md, ([EIR]\d+(?:(?:, | and )[EIR]\d+)*)")
NUMBERED = re.compile(r"\b[Ii]ssue \d+\b")
TEXTS = (".swift", ".py", ".sh", ".md", ".c", ".h", ".toml")


def texts() -> list[Path]:
    """Every text of the tree that somebody wrote; hidden folders hold what was built."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        found += [Path(folder, name).relative_to(ROOT) for name in names if name.endswith(TEXTS) or name == "Makefile"]
    return [path for path in found if path.name != Path(__file__).name]


@cache
def sections(page: Path) -> set[str]:
    """The anchors of a page, as they are made of its headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing(page: Path, section: str | None) -> str | None:
    if not page.exists():
        return "no such file"
    if section and section not in sections(page):
        return f"no section #{section}"
    return None


@cache
def threats() -> set[str]:
    return set(re.findall(r"^\| ([EIR]\d+) \|", (ROOT / "docs/threats.md").read_text(), flags=re.M))


def wrong(path: Path, text: str) -> list[str]:
    """What a text names that is not there."""
    found = []
    for page, section in PAGE.findall(text):
        if problem := missing(ROOT / page, section):
            found.append(f"{path}: {page}{'#' + section if section else ''}: {problem}")
    if path.suffix == ".md":
        for link, section in LINK.findall(text):
            page = ROOT / path.parent / link if link else ROOT / path
            if problem := missing(page, section):
                found.append(f"{path}: ({link}{'#' + section if section else ''}): {problem}")
    for codes in THREAT.findall(text):
        found += [f"{path}: {code} is not in docs/threats.md"
                  for code in re.findall(r"[EIR]\d+", codes) if code not in threats()]
    found += [f"{path}: \"{number}\" is outside this repository" for number in NUMBERED.findall(text)]
    return found


def test_what_is_named_is_here():
    assert [problem for path in texts() for problem in wrong(path, (ROOT / path).read_text())] == []


def test_the_tests_of_threats_name_known_codes():
    tests = (ROOT / "docs/threats.md").read_text().split("\n## Tests\n")[1]
    assert {code for code in re.findall(r"\b([EIR]\d{1,2})\b", tests)} <= threats()


def test_the_glossary_names_types_that_exist():
    rows = re.findall(r"^\| \*\*.*\| (.*?) \|$", (ROOT / "docs/glossary.md").read_text(), flags=re.M)
    names = {name for row in rows for name in re.findall(r"`([A-Z]\w+)[\w.]*`", row)}
    sources = "\n".join(path.read_text() for path in (ROOT / "Sources").rglob("*.swift"))
    declared = set(re.findall(r"\b(?:struct|class|enum|actor|protocol|typealias) (\w+)", sources))
    modules = {path.name for path in (ROOT / "Sources").iterdir()}
    assert len(names) > 40
    assert names - declared - modules == set()


@pytest.mark.parametrize("text", [
    "/// As clients have it (docs/wire.md#no-such-section).",
    "/// As clients have it (docs/nowhere.md).",
    "/// CLIENTS.md, section 2",
    "[a page](nowhere.md)",
    "[a section](#nowhere)",
    "/// docs/threats.md, E16 and E99",
    "what issue 7 asked for",
])
def test_what_is_not_here_is_found(text: str):
    assert wrong(Path("README.md"), text)


@pytest.mark.parametrize("text", [
    "/// As clients have it (docs/wire.md#event-streams).", "[a page](docs/wire.md#files)", "docs/threats.md, E16 and E22",
    "[elsewhere](https://example.com/x.md#y)", "rows of `a*.md`",
])
def test_what_is_here_is_not_complained_of(text: str):
    assert wrong(Path("README.md"), text) == []
