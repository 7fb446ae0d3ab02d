"""The commands of docs/debugging.md tell what the page says."""

import json
import re
import subprocess

import pytest
from support.server import ROOT, deny_but

PAGE = (ROOT / "docs/debugging.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.S | re.M)


@pytest.fixture(scope="module")
def ask(server):
    """Runs shell text after the page's first block, with this server's folders and a sandbox of its own."""
    sandbox = server.create(network_policy=deny_but("pypi.org"))
    setup = BLOCKS[0].replace("/run/sallyport", f"{server.folder}/run").replace("ID=the-sandbox", f"ID={sandbox.id}")
    setup = re.sub(r"^export OPEN_SANDBOX_DOMAIN.*\n", "", setup)

    def ask(command):
        return subprocess.run(["bash", "-c", setup + command], env=server.environment(), capture_output=True,
                              text=True, timeout=30)

    yield ask
    sandbox.kill()
    sandbox.close()


def test_the_guard_explains_its_verdict(ask):
    [command] = [block for block in BLOCKS if block.startswith('guard "policy/explain?target=pypi.org')]
    verdict = json.loads(ask(command).stdout)
    assert (verdict["verdict"], verdict["reason"], verdict["index"]) == ("allow", "rule", 0)
    denied = json.loads(ask(command.replace("pypi.org", "example.com")).stdout)
    assert (denied["verdict"], denied["reason"]) == ("deny", "default")


def test_the_rules_of_a_sandbox_are_listed(ask):
    listed = ask("inside nft list ruleset")
    assert "chain output" in listed.stdout, listed


@pytest.mark.parametrize("path, word", [("", '"state":"Running"'), ("/diagnostics/summary", "Isolation")])
def test_the_api_tells_of_a_sandbox(ask, path, word):
    assert word in ask(f"api sandboxes/$ID{path}").stdout


def test_every_log_line_and_counter_of_the_page_is_in_the_sources():
    sources = "\n".join(path.read_text() for path in (ROOT / "Sources").rglob("*.swift"))
    named = set(re.findall(r"`(\w+_total|sallyport_\w+)[{`]", PAGE))
    assert len(named) > 5
    missing = {name for name in named
               if f'"{name}"' not in sources and f'"{name.replace("_", ".").removesuffix(".total")}_total"' not in sources}
    assert missing == set()
    lines = re.findall(r"`([a-z][a-z' ]+ [a-z' ]+)`", PAGE)
    assert {line for line in lines if line not in sources and "the reason" not in line} == set()
    codes = set(re.findall(r"`((?:DOCKER::|SANDBOX::|KUBERNETES::)?[A-Z0-9]{3,}_[A-Z0-9_]+)`", PAGE))
    assert {code for code in codes if f'"{code}"' not in sources} == set()
