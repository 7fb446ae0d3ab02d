"""Metrics have a help text, the names that Prometheus' users expect, and a place on the dashboard only if they exist."""

import json
import re
import shutil
import subprocess

import pytest
from metrics import ROOT, catalog, exported, made

MONITORING = ROOT / "deploy/monitoring"
# Words of PromQL, labels that are grouped by, and what recording rules make.
WORDS = {"sum", "by", "rate", "increase", "topk", "histogram_quantile", "label_values", "on", "or", "and"}


def test_every_metric_has_a_help_text_and_every_text_a_metric():
    assert {label for label, _ in made()} == set(catalog())


def test_no_metric_has_two_kinds():
    labels = [label for label, _ in made()]
    assert len(labels) == len(set(labels)) > 40


def names(expression):
    """The metrics that an expression asks for."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|ignoring|without) \([^)]*\)", "", expression)
    words = set(re.findall(r"\b[a-z][a-z0-9_:]*\b", bare)) - WORDS - {"instance"}
    return {word for word in words if "_" in word or ":" in word or word == "up"}


def expressions():
    dashboard = json.loads((MONITORING / "sallyport-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    rules = (MONITORING / "sallyport-rules.yml").read_text()
    for name, expression in re.findall(r"- (?:alert|record): (\S+)\n\s+expr: (?:>-\n)?((?:.|\n)*?)\n\s+(?:for|labels|- )", rules):
        yield name, expression


def test_dashboard_and_alerts_ask_for_metrics_that_exist():
    known = {"up"} | {name for metric in exported() for name in metric.series}
    known |= set(re.findall(r"record: (\S+)", (MONITORING / "sallyport-rules.yml").read_text()))
    asked = list(expressions())
    assert len(asked) > 35 and all(names(expression) for _, expression in asked)
    assert {(title, name) for title, expression in asked for name in names(expression) if name not in known} == set()


def test_every_panel_has_its_own_place():
    panels = json.loads((MONITORING / "sallyport-dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [(x, y) for panel in panels for place in [panel["gridPos"]]
             for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])]
    assert len(taken) == len(set(taken)) and max(x for x, _ in taken) < 24


@pytest.mark.parametrize("words", [["check", "rules", "sallyport-rules.yml"], ["test", "rules", "sallyport-rules-test.yml"],
                                   ["check", "config", "prometheus.yml"]])
def test_prometheus_takes_the_rules(words, tmp_path):
    shutil.copytree(MONITORING, tmp_path / "monitoring")
    (tmp_path / "monitoring/sallyport-key").write_text("key")
    done = subprocess.run(["promtool", *words], cwd=tmp_path / "monitoring", capture_output=True, text=True)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr
