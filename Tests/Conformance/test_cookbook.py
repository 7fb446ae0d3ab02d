"""Every recipe of docs/cookbook.md allows and denies what it says, by `sallyport policy check`. No server is needed."""

import json
import os
import re
import subprocess

import pytest
from support.server import BINARY, ROOT

PAGE = (ROOT / "docs/cookbook.md").read_text()
RECIPES = {title: text for title, text in re.findall(r"^## (\d+\. .+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)}


def block(language, text):
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
    assert len(found) <= 1, "one of each kind for a recipe"
    return found[0] if found else None


def targets(word, text):
    return [target for line in re.findall(rf"^- {word}: (.+)$", text, re.M) for target in re.findall(r"`([^`]+)`", line)]


def check(folder, policy, toml, *asked):
    """The exit status and what is said. The operator's part of a recipe is the configuration."""
    (folder / "policy.json").write_text(policy)
    sections = toml or "[egress]\n"
    assert sections.count("[egress]\n") <= 1
    if "[egress]\n" not in sections:
        sections = "[egress]\n" + sections
    (folder / "sallyport.toml").write_text(sections.replace("[egress]\n", f'[egress]\npresets = "{ROOT}/policies"\n'))
    words = [word for target in asked for word in ("--target", target)]
    done = subprocess.run([BINARY, "policy", "check", "--config", folder / "sallyport.toml", folder / "policy.json", *words],
                          capture_output=True, text=True, timeout=30, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
    return done.returncode, done.stdout + done.stderr


def test_there_are_twenty_recipes():
    assert [title.split(".")[0] for title in RECIPES] == [str(number) for number in range(1, 21)]


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_does_what_it_says(title, tmp_path):
    text = RECIPES[title]
    policy, toml = block("json", text), block("toml", text)
    allowed, denied = targets("allowed", text), targets("denied", text)
    assert policy and (allowed or denied)
    json.loads(policy)
    assert check(tmp_path, policy, toml)[0] == 0
    if allowed:
        status, said = check(tmp_path, policy, toml, *allowed)
        assert status == 0, said
    for target in denied:
        status, said = check(tmp_path, policy, toml, target)
        assert status == 1 and said.startswith(f"{target}: denied"), f"{target}: {status} {said}"


def test_the_table_of_presets_is_what_the_files_say():
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| [^:|]+: (.+) \|$", PAGE, re.M))
    files = {}
    for path in (ROOT / "policies").glob("*.json"):
        preset = json.loads(path.read_text())
        if "allow" in preset:
            files[preset["name"]] = [rule["target"] for rule in preset["allow"]]
    assert {name: re.findall(r"`([^`]+)`", row) for name, row in rows.items()} == files


def test_a_block_that_is_no_network_is_told_from_the_right_one(tmp_path):
    status, said = check(tmp_path, '{"egress": [{"action": "allow", "target": "10.20.9.7/24"}]}', None)
    assert status == 1 and "10.20.9.0/24" in said
