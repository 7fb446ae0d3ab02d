"""Flags, settings, variables and metrics that the pages name are those of the programs."""

import re
from pathlib import Path

from metrics import exported

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = "\n".join(path.read_text() for path in sorted((ROOT / "Sources").rglob("*.swift")))
STRINGS = set(re.findall(r'"([^"\n\\]+)"', SOURCES))
# Tables of the configuration file, without those that only hold other tables.
TABLES = r"(?:server|log|runtime|local|ingress|egress|otel|renew_intent|store)"
# Tables that the reference has and this server has not, which the page about the way from there names.
REFERENCE = tuple(re.findall(r'"([a-z_.]+\.)"', (ROOT / "Sources/ControlPlane/Configuration/ReferenceSettings.swift").read_text()))
# Flags of docker, debootstrap and the library that reads command lines, which pages name by themselves.
OTHERS = {"--generate-completion-script", "--dns", "--network", "--variant"}


def code(page: Path) -> list[str]:
    """What stands in backticks, and each line of a block of code."""
    text = page.read_text()
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.M | re.S)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    joined = [re.sub(r"\\\n\s*", " ", block) for block in blocks]
    return inline + [line for block in joined for line in block.split("\n")]


def settings() -> set[str]:
    """`table.key` of docs/configuration.md, which a Swift test holds to the table that the server reads files by."""
    found, table = set(), ""
    for line in (ROOT / "docs/configuration.md").read_text().splitlines():
        if match := re.match(r"## `\[([a-z_.]+)\]`", line):
            table = match[1]
            found.add(table)
        elif match := re.match(r"\| `([a-z_0-9]+)` ", line):
            found.add(f"{table}.{match[1]}")
        elif match := re.match(r"`\[\[([a-z_.]+)\]\]`", line):
            found |= {match[1]} | {f"{match[1]}.{key}" for key in re.findall(r"`([a-z_]+)`:", line)}
    return found


def flags() -> set[str]:
    """What the programs declare: property names in the parser's spelling, and flags that are read by hand."""
    declared = re.findall(r"(?:@Option|@Flag)\b(?:(?!\bvar\b).)*?\bvar (\w+)", SOURCES, flags=re.S)
    dashed = {"--" + re.sub(r"(?<=[a-z0-9])([A-Z])", r"-\1", name).lower() for name in declared}
    named = set(re.findall(r'\.customLong\("([^"]+)"', SOURCES)) | set(re.findall(r'name: \.long\("([^"]+)"', SOURCES))
    # execd's are the cases of an enumeration.
    cases = (ROOT / "Sources/Execd/Init/FlagName.swift").read_text().split("var isSwitch")[0]
    for line in re.findall(r"^    case (.+)$", cases, flags=re.M):
        named |= {text or word for word, text in re.findall(r'(\w+)(?: = "([^"]+)")?', line)}
    inverted = {flag.replace("--", "--no-", 1) for flag in dashed}
    return dashed | inverted | {"--" + name for name in named} | {text for text in STRINGS if text.startswith("--")} | {
        "--help", "--version"}


def options() -> set[str]:
    """What commands that are shown declare, as rows of the reference begin: `--name`, and ` <` where a value follows."""
    found = set()
    for text in re.split(r"^(?=struct |@main)", "\n".join(path.read_text() for path in (ROOT / "Sources/Programs").rglob("*.swift")), flags=re.M):
        if "shouldDisplay: false" in text:
            continue
        for kind, words, name in re.findall(r"@(Option|Flag)\b((?:(?!@Option|@Flag).)*?)\bvar (\w+)", text, flags=re.S):
            custom = re.search(r'\.customLong\("([^"]+)"', words)
            dashed = custom[1] if custom else re.sub(r"(?<=[a-z0-9])([A-Z])", r"-\1", name).lower()
            found.add(f"--{dashed}{' <' if kind == 'Option' else ''}")
    return found


def test_every_option_of_the_programs_stands_in_the_reference():
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/cli-reference.md").read_text(), flags=re.M)
    declared = options()
    assert {"--version <", "--one-time-file <", "--once", "--trusted-proxy <"} <= declared
    begins = {part + (" <" if "<" in row else "") for row in rows for part in re.sub(r" <.*", "", row).split(", ")}
    assert sorted(declared - begins) == []
    assert {"--check", "--open", "--host-namespace"} <= begins, "the flags that sallyport-egress reads by hand"


def test_what_pages_are_held_to_is_found_in_the_sources():
    assert {"--state-directory", "--token-file", "--check", "--secure-access-keys", "--epoch"} <= flags()
    assert {"server.port", "ingress.tls.certificates.key", "egress.budgets.bytes_out", "renew_intent.redis.dsn"} <= settings()


def test_pages_name_flags_that_exist():
    known, missing = flags(), []
    for page in PAGES:
        for text in code(page):
            ours = re.match(r"(?:\S*/)?(?:sallyport(?:-egress|-ingress)?|execd)\b(?!.*\bdocker\b)", text.strip())
            alone = re.fullmatch(r"--[a-z][a-z0-9-]+(?:[ =]\S+)*", text.strip())
            if ours or alone:
                missing += [f"{page.name}: {flag}" for flag in re.findall(r"(?<!\S)\[?(--[a-z][a-z0-9-]+)", text)
                            if flag not in known | OTHERS]
    assert missing == []


def test_pages_name_settings_that_exist():
    known, missing = settings(), []
    for page in PAGES:
        for text in code(page):
            for name in re.findall(rf"(?<![\w./-])({TABLES}(?:\.[a-z_][a-z_0-9]*)+)(?![\w(/.-])", text):
                is_other = name in STRINGS or name.startswith(REFERENCE)
                if name not in known and not is_other and not any(key.startswith(name + ".") for key in known):
                    missing.append(f"{page.name}: {name}")
            if match := re.match(rf"\[({TABLES}[a-z_.]*)\] ([a-z_0-9]+)", text):
                if f"{match[1]}.{match[2]}" not in known:
                    missing.append(f"{page.name}: {match[0]}")
    assert missing == []


def test_pages_name_variables_that_are_read():
    prefixes = ("OPENSANDBOX_EGRESS_", "OPENSANDBOX_EGRESS_BUDGET_", "OTEL_")
    missing = []
    for page in PAGES:
        for name in re.findall(r"`((?:OPENSANDBOX|SANDBOX|EXECD|OTEL)_[A-Z0-9_]+)`", page.read_text()):
            rests = [name.removeprefix(prefix) for prefix in prefixes if name.startswith(prefix)]
            if name not in STRINGS and not any(rest in STRINGS for rest in rests):
                missing.append(f"{page.name}: {name}")
    assert missing == []


def test_pages_name_metrics_that_are_counted():
    metrics = exported()
    # Sets and maps of nf_tables have such names, too.
    known = {metric.family for metric in metrics} | STRINGS - {metric.label.replace(".", "_") for metric in metrics}
    missing = [f"{page.name}: {name}" for page in PAGES
               for name in re.findall(r"`((?:sallyport|egress)_[a-z0-9_]+)[`{]", page.read_text())
               if name not in known]
    assert missing == []


def what_tests_there_are() -> tuple[dict[str, str], dict[str, str]]:
    """The text of each file of pytest, and of what is in each suite of Swift."""
    files = {path.name: path.read_text() for path in (ROOT / "Tests").rglob("test_*.py")}
    suites: dict[str, str] = {}
    for path in (ROOT / "Tests").rglob("*.swift"):
        text = path.read_text()
        for suite in re.findall(r"\bstruct (\w+Tests)\b", text):
            suites[suite] = suites.get(suite, "") + text
    return files, suites


def test_pages_name_tests_that_are_there():
    files, suites = what_tests_there_are()
    functions = {name for text in files.values() for name in re.findall(r"def (test_\w+)\(", text)}
    # A file of Swift has several suites.
    stems = {path.stem for pattern in ("*Tests*", "test_*.py") for path in (ROOT / "Tests").rglob(pattern)}
    known = {*files, *suites, *functions, *stems}
    missing = [f"{page.name}: {name}" for page in [*PAGES, ROOT / "ARCHITECTURE.md"]
               for name in re.findall(r"\btest_\w+\.py|(?<=`)test_\w+(?=`)|\b\w+Tests\b", page.read_text()) if name not in known]
    assert missing == []


def test_every_test_of_the_checklist_is_there():
    files, suites = what_tests_there_are()
    page = (ROOT / "docs/checklist.md").read_text()
    functions = re.findall(r"`(test_\w+\.py)::(\w+)`", page)
    sentences = re.findall(r"`(\w+Tests): ([^`]+)`", page)
    assert len(functions) > 50 and len(sentences) > 50
    missing = [f"{file}::{name}" for file, name in functions if f"def {name}(" not in files.get(file, "")]
    missing += [f"{suite}: {text}" for suite, text in sentences if f"func `{text}`" not in suites.get(suite, "")]
    assert missing == []


def test_pages_name_targets_of_make_that_exist():
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", text, flags=re.M))
    assert {"run", "test", "bench", "reference"} <= targets
    missing = [f"{page.name}: make {name}" for page in PAGES for text in code(page)
               for name in re.findall(r"^(?:[A-Z]+=\S+ )*make ([a-z][a-z-]+)(?= |$)", text.split("#")[0].strip()) if name not in targets]
    assert missing == []
