"""The metrics that the programs make, read from their sources, by the names that Prometheus sees."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = "\n".join(path.read_text() for path in sorted((ROOT / "Sources").rglob("*.swift")))
CATALOG = (ROOT / "Sources/Observability/MetricCatalog.swift").read_text()
KINDS = {"Counter": "counter", "Timer": "histogram", "Gauge": "gauge", "OpenCount": "gauge"}


@dataclass(frozen=True)
class Metric:
    label: str
    kind: str
    unit: str | None = None

    @property
    def family(self):
        """As `PrometheusText.family` makes it; a scrape of real programs holds the two together."""
        name = re.sub(r"[^A-Za-z0-9_:]", "_", self.label)
        if self.kind == "counter":
            name = name.removesuffix("_total")
        if self.kind != "histogram":
            name = name.removesuffix("_count")
        if self.unit and not name.endswith("_" + self.unit):
            name += "_" + self.unit
        return name + "_total" if self.kind == "counter" else name

    @property
    def series(self):
        ends = ["_bucket", "_sum", "_count"] if self.kind == "histogram" else [""]
        return {self.family + end for end in ends}


def catalog():
    """Label and unit of each entry."""
    found = re.findall(r'^        "([a-z0-9_.]+)": Entry\(\s*"[^"]+"(?:, unit: "([a-z]+)")?\)', CATALOG, re.M)
    return {label: unit or None for label, unit in found}


def made():
    """Label and kind of what the sources make; `egress` is the only prefix that a program gives."""
    found = {(label, KINDS[kind]) for kind, label in re.findall(
        r'\b(Counter|Timer|Gauge|OpenCount)\(\s*(?:label: )?"([a-z0-9_.]+)"', SOURCES)}
    found |= {(label.replace("\\(prefix)", "egress"), kind) for label, kind in re.findall(
        r'(?:init|Sample)\(\s*"((?:\\\(prefix\))?[a-z0-9_.]+)",\s*\.(counter|gauge)\b', SOURCES)}
    return found


def exported():
    units = catalog()
    return {Metric(label, kind, units.get(label)) for label, kind in made()} | execd()


def execd():
    """Of execd, which writes its text itself."""
    text = (ROOT / "Sources/Execd/API/PrometheusMetrics.swift").read_text()
    return {Metric(label, kind) for label, kind in re.findall(r'add\(\s*"(execd_[a-z0-9_]+)", "(counter|gauge)"', text)}
