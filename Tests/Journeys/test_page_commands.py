"""Every block of shell commands in the pages is typed here, or stands in NOT_TYPED with what is in its place."""

import re

import pytest
from support.inside import start_server
from support.pages import PAGES, Reader, blocks
from support.server import ROOT, deny_but

# Page, the beginning of the block's first line, and why it is not typed here. A test that does the same is named by its file.
NOT_TYPED = [
    ("README.md", "make run\n", "`make run` does not end; Scripts/test_make.py says what it calls, Journeys/test_agent_developer.py creates"),
    ("README.md", "export OPEN_SANDBOX_DOMAIN", "fetches the client from PyPI; Conformance/test_readme.py runs the program that follows"),
    ("README.md", "make run  ", "what `make` can do; Scripts/test_docs.py knows each target"),
    ("docs/docker.md", "make images &&", "wants an engine; Docker/test_compose.py"),
    ("docs/egress-sidecar.md", "make egress", "builds, and wants an engine; Docker/test_sidecar.py"),
    ("docs/execd.md", 'curl "$EXECD/command" -d', "the same requests, with the token: ExecdTests/Commands/InputTests.swift"),
    ("docs/images.md", "sudo scripts/base-image.sh", "makes the image that all tests use; Faults/test_package.py calls it"),
    ("docs/images.md", "make base-image CODE=1", "fetches a gigabyte; Conformance/test_code_image.py where the image is there"),
    ("docs/images.md", "sallyport image list", "wants a registry; Conformance/test_command_line.py"),
    ("docs/images.md", "make images", "wants an engine; Docker/test_images.py"),
    ("docs/install.md", "apt-get install", "installs; Faults/test_package.py"),
    ("docs/migrating.md", "sallyport uninstall", "ends the server's sandboxes; Faults/test_uninstall.py"),
    ("docs/operations.md", "systemctl enable", "wants systemd; Faults/test_units.py"),
    ("docs/operations.md", "systemctl stop", "stops the server; Journeys/test_platform_engineer.py"),
    ("docs/operations.md", "mkdir -p -m 700", "stops the server; Journeys/test_platform_engineer.py"),
    ("docs/operations.md", "systemctl disable", "ends the server's sandboxes; Faults/test_uninstall.py"),
    ("docs/server.md", "sallyport init-config", "`serve` does not end; every server of these tests is started so"),
    ("docs/server.md", "sallyport uninstall", "ends the server's sandboxes; Faults/test_uninstall.py"),
    ("docs/testing.md", "scripts/conformance.sh", "is what runs this"),
    ("docs/snapshots.md", "sallyport snapshot list", "wants a registry; Conformance/test_snapshot_push.py"),
]


def is_not_typed(page, code):
    return any(page == str(name) and code.startswith(first) for name, first, _ in NOT_TYPED)


TYPED = {}
for path in PAGES:
    name = str(path.relative_to(ROOT))
    if found := [code for code in blocks(path) if not is_not_typed(name, code)]:
        TYPED[name] = found


def test_what_is_not_typed_is_in_its_page_and_tested_where_it_says():
    for page, first, why in NOT_TYPED:
        assert sum(code.startswith(first) for code in blocks(ROOT / page)) == 1, f"{page}: {first}"
        assert why
        for test in re.findall(r"[\w/]+\.(?:py|swift)", why):
            assert (ROOT / "Tests" / test).exists(), test


def test_no_command_stands_in_a_block_that_is_not_looked_at():
    """`make` and `sallyport` with its words: those are blocks of `sh`. What says how words may follow each other has brackets."""
    for path in PAGES:
        # Both kinds of blocks, so that the end of one is not taken for the beginning of another.
        for language, code in re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(), re.M | re.S):
            commands = [line for line in code.splitlines() if re.match(r"(make|curl|docker|systemctl|apt-get) |(\S*/)?sallyport [a-z-]+", line)]
            if not language and commands and path.name != "cli-reference.md":
                assert len(commands) < len(code.splitlines()) or "[" in code, f"{path.name}: {commands}"


@pytest.fixture(scope="module")
def box(server):
    """A sandbox with a server of its own on port 8000. What the pages make goes with it."""
    before = set(server.ids())
    sandbox = server.create(network_policy=deny_but("pypi.org"))
    start_server(sandbox, "import http.server, os\nos.chdir('/tmp')\nopen('index.html', 'w').write('hello')\n"
                          "http.server.test(http.server.SimpleHTTPRequestHandler, port=8000, bind='0.0.0.0')\n")
    yield sandbox
    sandbox.close()
    for name in set(server.ids()) - before:
        server.api.delete(f"/v1/sandboxes/{name}")


@pytest.mark.parametrize("page", TYPED)
def test_the_commands_of_a_page_work(page, server, box, tmp_path):
    token = box.get_endpoint(44772).headers["X-EXECD-ACCESS-TOKEN"]
    reader = Reader(server, tmp_path, id=box.id, ID=box.id, KEY=server.key, TOKEN=token)
    reader.places = [("/etc/bash_completion.d/", f"{tmp_path}/"), ("/srv/datasets", f"{tmp_path}/datasets"), ("the-sandbox", box.id),
                     *reader.places]
    (tmp_path / "report.csv").write_text("a,b\n")
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/rows.csv").write_text("1\n")
    (tmp_path / "policy.json").write_text('{"egress": [{"action": "allow", "target": "pypi.org:443"}, '
                                          '{"action": "allow", "target": "files.pythonhosted.org:443"}]}')
    if page == "docs/migrating.md":
        # No engine runs for these tests.
        (tmp_path / "sandbox.toml").write_text(blocks(ROOT / page, "toml")[0].replace('type = "docker"', 'type = "local"'))
    try:
        reader.type("\n".join(TYPED[page]))
    finally:
        for pool in server.api.get("/v1/pools").json()["items"]:
            server.api.delete(f"/v1/pools/{pool['name']}")
