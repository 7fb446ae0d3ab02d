"""specs/*.yaml: each document is whole, and no request that schemathesis makes of it is answered otherwise than it says."""

import json
import subprocess

import httpx
import pytest
import yaml
from support.server import ROOT, deny_but
from support.terminals import endpoint

DOCUMENTS = ["lifecycle", "diagnostics", "egress", "execd"]
# As much as `make test` has time for; more of it finds the same, with other seeds more.
EXAMPLES, SEED = 4, 20261130
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
          "response_headers_conformance", "use_after_free"]


# What no runtime does, and what is not there now, are answers of the documents; every other error of a server is a failure.
SETTINGS = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "501", "503"]
"""


def document(name):
    return yaml.safe_load((ROOT / f"specs/{name}.yaml").read_text())


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_reference_leads_somewhere_and_every_component_is_used(name):
    whole = document(name)
    assert whole["openapi"].startswith("3.1") and whole["info"]["description"]
    used = set(references(whole))
    for reference in used:
        place = whole
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    kinds = {kind: values for kind, values in whole["components"].items() if kind != "securitySchemes"}
    told = {f"#/components/{kind}/{part}" for kind, values in kinds.items() for part in values}
    assert told == used


@pytest.fixture(scope="module")
def pages():
    """The folder of the API's pages, as `make run` makes it."""
    subprocess.run([ROOT / "scripts/api-pages.sh", ROOT / ".build-pages"], check=True, timeout=300)
    return ROOT / ".build-pages"


def test_a_browser_reads_the_documents_without_a_key(pages, own_server):
    own_server.restart()
    told = httpx.get(own_server.base + "/openapi.json").json()
    paths = set(document("lifecycle")["paths"]) | set(document("diagnostics")["paths"])
    assert set(told["paths"]) == paths and not set(references(told)) - {
        f"#/components/{kind}/{part}" for kind, values in told["components"].items() for part in values}
    for path, word in [("/docs", "swagger-ui-bundle.js"), ("/redoc", "redoc.standalone.js"),
                       ("/docs/swagger-ui-bundle.js", "SwaggerUIBundle"), ("/redoc/redoc.standalone.js", "Redoc"),
                       ("/docs/swagger-ui.css", ".swagger-ui"), ("/docs/start.js", "/openapi.json")]:
        # As a browser asks when somebody types the address.
        page = httpx.get(own_server.base + path, headers={"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"})
        assert page.status_code == 200 and word in page.text, path
        assert "script-src 'self';" in page.headers["content-security-policy"]
    assert httpx.get(own_server.base + "/docs", headers={"Host": "rebound.example"}).status_code == 421


@pytest.fixture(scope="module")
def schemathesis():
    environment = ROOT / ".build-conformance/schemathesis"
    subprocess.run([ROOT / "scripts/python-environment.sh", "schemathesis", "schemathesis.txt"], check=True, timeout=600)

    def schemathesis(name, url, headers, tmp_path, *, phases="examples,coverage,fuzzing", leave_out=None, operation=None):
        """Asks for every operation of a document, the same each time."""
        (tmp_path / "schemathesis.toml").write_text(SETTINGS)
        words = [environment / "bin/st", "run", ROOT / f"specs/{name}.yaml", "--url", url, "--phases", phases,
                 "--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--seed", str(SEED), "--no-shrink",
                 "--request-timeout", "30", "--suppress-health-check", "all", "--warnings", "off", "--workers", "1",
                 "--continue-on-failure"]
        for field, value in headers.items():
            words += ["-H", f"{field}: {value}"]
        if leave_out:
            words += ["--exclude-path-regex", leave_out]
        if operation:
            words += ["--exclude-name", operation]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
        return done.stdout

    return schemathesis


@pytest.fixture
def cleared(server):
    """Deletes what the requests made."""
    before = set(server.ids())
    yield
    with server.api as api:
        for sandbox in set(server.ids()) - before:
            api.delete(f"/v1/sandboxes/{sandbox}")


def test_the_lifecycle_api_answers_as_its_document_says(server, schemathesis, tmp_path, cleared):
    key = {"OPEN-SANDBOX-API-KEY": server.key}
    # What an application behind the proxy says is its own, and the stream of events has no end.
    schemathesis("lifecycle", server.base, key, tmp_path, phases="examples,coverage,fuzzing,stateful",
                 leave_out=r"/proxy/|/networkpolicy/events$")


def test_diagnostics_are_answered_as_their_document_says(server, sandbox, schemathesis, tmp_path):
    schemathesis("diagnostics", server.base, {"OPEN-SANDBOX-API-KEY": server.key}, tmp_path)


def test_the_policy_api_answers_as_its_document_says(server, create, api, schemathesis, tmp_path):
    sandbox = create(network_policy=deny_but("pypi.org"))
    told = api.get(f"/v1/sandboxes/{sandbox.id}/endpoints/18080").json()
    # The stream of events has no end.
    schemathesis("egress", f"http://{told['endpoint']}", told["headers"], tmp_path, leave_out=r"^/events$")


def test_execd_answers_as_its_document_says(server, sandbox, api, schemathesis, tmp_path):
    url, headers = endpoint(api, sandbox)
    # Streams, what opens one, archives (which have a test of their own), and what an application behind the proxy says.
    schemathesis("execd", url, headers, tmp_path, phases="examples,coverage,fuzzing,stateful", operation="POST /command",
                 leave_out=r"^/(proxy|files/watch|pty/.*/ws|directories/archive)")
