"""An image behind a password, through the lifecycle API (docs/images.md)."""

import pytest
from opensandbox.models.sandboxes import SandboxImageAuth, SandboxImageSpec
from support.inside import say
from support.waiting import eventually

FOREVER = ["/bin/sh", "-c", "while :; do /bin/busybox sleep 100; done"]


@pytest.fixture(scope="module")
def image(registry):
    return registry.push("private/tool:1")


def outcome(api, body):
    """The state that a create comes to, with what it said, whether it is told at once or later."""
    answer = api.post("/v1/sandboxes", json=body)
    if answer.status_code != 202:
        return answer.status_code, answer.text
    sandbox = answer.json()["id"]
    status = eventually(
        lambda: (s := api.get(f"/v1/sandboxes/{sandbox}").json()["status"])["state"] != "Pending" and s, within=60)
    return status["state"], str(status)


@pytest.mark.parametrize("auth", [None, "wrong", "nobody"])
def test_without_the_password_it_is_refused_and_no_password_is_told(server, api, registry, image, auth):
    passwords = {"wrong": "not-the-password", "nobody": registry.password}
    users = {"wrong": registry.user, "nobody": "nobody"}
    spec = {"uri": image} | ({"auth": {"username": users[auth], "password": passwords[auth]}} if auth else {})
    before = server.ids()
    state, text = outcome(api, server.body(image=spec, entrypoint=FOREVER))
    assert state == "Failed" or 400 <= state < 500, text
    for password in passwords.values():
        assert password not in text and password not in server.log.read_text()
    for sandbox in set(server.ids()) - set(before):
        api.delete(f"/v1/sandboxes/{sandbox}")


def test_with_the_password_it_is_made_and_runs_and_the_password_is_kept_nowhere(server, api, create, registry, image):
    auth = SandboxImageAuth(username=registry.user, password=registry.password)
    sandbox = create(image=SandboxImageSpec(image, auth=auth), entrypoint=FOREVER)
    assert say(sandbox, "/bin/busybox echo inside") == "inside"
    assert registry.password not in server.log.read_text()
    # Below `sys` is the kernel's own file system, of which some files cannot be read.
    kept = [path for path in server.state.rglob("*") if path.is_file() and not path.is_symlink()
            and not {"rootfs", "sys"} & set(path.parts) and registry.password.encode() in path.read_bytes()]
    assert not kept
    # Who has no password gets no image that another's has brought here.
    state, text = outcome(api, server.body(image={"uri": image}, entrypoint=FOREVER))
    assert state == "Failed" or 400 <= state < 500, text

