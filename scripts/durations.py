"""Where the time of a run of all tests went: its steps, and the Python files that took longest."""

import pathlib
import xml.etree.ElementTree

SHOWN = 15


def clock(seconds):
    return f"{int(seconds) // 60:3}:{int(seconds) % 60:02}"


def steps(text):
    """Lines `SECONDS NAME` as test.sh writes them, in their order."""
    found = []
    for line in text.splitlines():
        seconds, _, name = line.partition(" ")
        if seconds.isdigit() and name:
            found.append((int(seconds), name))
    return found


def files(report):
    """Seconds and tests of each file of pytest's report (JUnit's XML), the slowest first; nothing where it was cut off."""
    try:
        root = xml.etree.ElementTree.fromstring(report)
    except xml.etree.ElementTree.ParseError:
        return []
    spent = {}
    for case in root.iter("testcase"):
        # pytest writes the file as `Tests.Gateway.test_soak`.
        name = case.get("classname", "").replace(".", "/") + ".py"
        seconds, count = spent.get(name, (0.0, 0))
        spent[name] = (seconds + float(case.get("time", 0)), count + 1)
    return sorted(((seconds, name, count) for name, (seconds, count) in spent.items()), reverse=True)


def table(directory):
    """The text, empty where nothing was measured. `directory` is that of summary.py, with `times` and `pytest.xml`."""
    directory = pathlib.Path(directory)

    def read(name):
        path = directory / name
        return path.read_text(errors="replace") if path.exists() else ""

    lines = []
    if taken := steps(read("times")):
        lines += ["", "Where the time went (minutes:seconds):"]
        lines += [f"{clock(seconds)}  {name}" for seconds, name in taken]
        # Steps may have run side by side.
        whole = read("together").strip()
        lines += [f"{clock(int(whole) if whole.isdigit() else sum(seconds for seconds, _ in taken))}  together"]
    if slowest := files(read("pytest.xml"))[:SHOWN]:
        lines += ["", "The slowest files of pytest:"]
        lines += [f"{clock(seconds)}  {name} ({count})" for seconds, name, count in slowest]
    return "\n".join(lines)
