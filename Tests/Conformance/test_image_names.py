"""What the name of an image may come to mean: this machine's own names, names without a registry, pinned digests."""

import pytest
from support.server import AllInOneServer
from support.inside import say
from support.lying_registry import LyingRegistry

FOREVER = ["/bin/sh", "-c", "while :; do /bin/busybox sleep 100; done"]


@pytest.fixture(scope="module")
def liar():
    registry = LyingRegistry()
    try:
        yield registry
    finally:
        registry.close()


@pytest.fixture(scope="module")
def qualified(world, liar):
    """A server whose operator says where names without a registry are of."""
    server = AllInOneServer(world, local={"unqualified_registry": f'"{liar.address}"'})
    try:
        yield server.start()
    finally:
        server.tear_down()


def refusal(server, name):
    before = server.ids()
    with server.api as api:
        answer = api.post("/v1/sandboxes", json=server.body(image={"uri": name}, entrypoint=FOREVER))
    assert server.ids() == before, "a refused create leaves nothing"
    return answer.status_code, answer.json()["message"] if answer.status_code != 202 else ""


@pytest.mark.parametrize("name", ["sallyport/other", "sallyport/base:2", "docker.io/sallyport/other", "index.docker.io/sallyport/base:none",
                                  "sallyport/base@sha256:" + "0" * 64])
def test_a_name_of_this_machine_is_never_asked_for_elsewhere(server, qualified, liar, name):
    asked = len(liar.asked)
    for asked_server in (server, qualified):
        status, message = refusal(asked_server, name)
        assert status == 400 and "make base-image" in message, message
    assert len(liar.asked) == asked


@pytest.mark.parametrize("name", ["python:3.11", "org/app", "opensandbox/code-interpreter:v1.0.2"])
def test_a_name_without_a_registry_is_refused_with_the_name_to_write(server, name):
    status, message = refusal(server, name)
    assert status == 400 and "docker.io/" in message and "unqualified_registry" in message, message


def test_a_name_without_a_registry_is_of_the_one_that_the_operator_says(qualified, liar):
    sandbox = qualified.create(image="some/tool:1", entrypoint=FOREVER)
    try:
        assert say(sandbox, "/bin/busybox echo inside") == "inside"
        assert any(path.startswith("/v2/some/tool/manifests/") for path in liar.asked)
    finally:
        sandbox.kill()
        sandbox.close()


def test_a_pinned_digest_is_checked(server, liar):
    other = "sha256:" + "0123456789abcdef" * 4
    status, message = refusal(server, f"{liar.address}/some/tool@{other}")
    assert status >= 400 and message, "another image than the one that was asked for"
    assert any(path.endswith(other) for path in liar.asked)
    # The control: the digest that it has.
    sandbox = server.create(image=f"{liar.address}/some/tool:1@{liar.digest}", entrypoint=FOREVER)
    try:
        assert say(sandbox, "/bin/busybox echo inside") == "inside"
    finally:
        sandbox.kill()
        sandbox.close()
