"""The lifecycle API by the official clients' other half, the asynchronous one, and by keys with scopes."""

import asyncio
import json
import socket
import subprocess
import threading
from datetime import timedelta

import httpx
import pytest
from opensandbox import Sandbox, SandboxManager, SandboxManagerSync, SandboxSync
from opensandbox.config import ConnectionConfig
from opensandbox.exceptions import SandboxApiException, SandboxRateLimitException
from opensandbox.models.sandboxes import NetworkRule, SandboxFilter
from opensandbox.models.templates import CreateTemplateRequest, TemplateFilter
from support.server import BINARY, IMAGE, AllInOneServer, deny_but
from support.waiting import eventually


@pytest.fixture(scope="module")
def keyed(world):
    """A server that keeps an audit log, and one create at a time."""
    server = AllInOneServer(world, concurrent_creates=1, queued_creates=1)
    server.server["audit_log"] = f'"{server.folder}/requests.log"'
    server.write_configuration()
    try:
        yield server.start()
    finally:
        server.tear_down()


def connection(server, key=None, **more):
    return ConnectionConfig(
        api_key=key or server.key, domain=f"127.0.0.1:{server.port}", disable_metrics=True,
        request_timeout=timedelta(seconds=60), **more)


@pytest.mark.parametrize("use_server_proxy", [False, True])
def test_the_whole_life_of_a_sandbox_asynchronously(server, use_server_proxy):
    async def live():
        config = connection(server, use_server_proxy=use_server_proxy)
        sandbox = await Sandbox.create(
            IMAGE, connection_config=config, timeout=timedelta(minutes=5), metadata={"way": "async"},
            network_policy=deny_but("pypi.org"), resource={"cpu": "1", "memory": "256Mi"})
        server.seen.add(sandbox.id)
        manager = await SandboxManager.create(connection(server))
        try:
            assert (await sandbox.get_info()).status.state == "Running" and await sandbox.is_healthy()
            found = await manager.list_sandbox_infos(SandboxFilter(metadata={"way": "async"}))
            assert [one.id for one in found.sandbox_infos] == [sandbox.id]
            assert (await sandbox.commands.run("echo here")).logs.stdout[0].text == "here"
            assert (await sandbox.get_endpoint(8000)).endpoint
            await sandbox.patch_egress_rules([NetworkRule(action="allow", target="example.com")])
            assert {rule.target for rule in (await sandbox.get_egress_policy()).egress} == {"pypi.org", "example.com"}
            await sandbox.delete_egress_rules(["example.com"])
            renewed = await sandbox.renew(timedelta(minutes=9))
            assert (await manager.get_sandbox_info(sandbox.id)).expires_at == renewed.expires_at
            assert (await sandbox.patch_metadata({"way": None, "a": "b"})).metadata == {"a": "b"}
            for scope in ("container", "all"):
                assert (await sandbox.get_diagnostic_logs(scope)).delivery == "inline"
            await manager.pause_sandbox(sandbox.id)
            assert (await sandbox.get_info()).status.reason == "CONTAINER_PAUSED"
            await manager.resume_sandbox(sandbox.id)
            told = await manager.get_diagnostic_events(sandbox.id, "lifecycle")
            states = [line.split()[1] for line in told.content.splitlines()]
            assert states == ["Pending", "Running", "Pausing", "Paused", "Resuming", "Running"] and not told.truncated
            with pytest.raises(SandboxApiException) as refused:
                await sandbox.get_diagnostic_logs("network")
            assert (refused.value.status_code, refused.value.error.code) == (400, "DIAGNOSTICS_SCOPE_UNSUPPORTED")
        finally:
            await sandbox.kill()
        with pytest.raises(SandboxApiException) as gone:
            await manager.get_sandbox_info(sandbox.id)
        assert gone.value.status_code == 404
        await sandbox.close()
        await manager.close()

    asyncio.run(live())


def test_that_there_are_no_templates_is_told_with_the_code_that_clients_know(server):
    with server.manager() as manager:
        asked = [
            (501, lambda: manager.list_templates(TemplateFilter())), (501, lambda: manager.get_template("x")),
            (501, lambda: manager.create_template(CreateTemplateRequest(image=IMAGE, publish="s3://bucket/built"))),
            (501, lambda: manager.delete_template("x")),
            (400, lambda: SandboxSync.create_from_template(
                "x", timeout=timedelta(minutes=5), connection_config=server.connection())),
        ]
        for status, ask in asked:
            with pytest.raises(SandboxApiException) as refused:
                ask()
            assert (refused.value.status_code, refused.value.error.code) == (status, "FSB::API_NOT_SUPPORTED")


def key(server, *words):
    done = subprocess.run(
        [BINARY, "key", *words, "--config", str(server.config)], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_keys_sandboxes_are_its_own_until_it_is_revoked(keyed):
    mine, other, reader = (
        key(keyed, "create", name, "--scope", scope)
        for name, scope in (("mine", "operate"), ("other", "operate"), ("reader", "read")))
    assert key(keyed, "list", "-o", "name").split() == ["mine", "other", "reader"]

    def listed(text):
        return httpx.get(keyed.base + "/v1/sandboxes", headers={"OPEN-SANDBOX-API-KEY": text})

    eventually(lambda: listed(reader).status_code == 200, what="the keys")
    sandbox = SandboxSync.create(
        IMAGE, connection_config=keyed.connection(api_key=mine), resource={"cpu": "1", "memory": "256Mi"})
    keyed.seen.add(sandbox.id)
    assert sandbox.commands.run("echo mine").logs.stdout[0].text == "mine"
    with pytest.raises(SandboxApiException) as refused:
        SandboxSync.connect(sandbox.id, connection_config=keyed.connection(api_key=other))
    assert refused.value.status_code == 404
    with pytest.raises(SandboxApiException) as refused:
        SandboxManagerSync.create(keyed.connection(api_key=reader)).create_snapshot(sandbox.id)
    assert (refused.value.status_code, refused.value.error.code) in {(403, "INSUFFICIENT_SCOPE"), (404, "DOCKER::SANDBOX_NOT_FOUND")}
    assert [len(listed(text).json()["items"]) for text in (mine, other, keyed.key)] == [1, 0, 1]
    key(keyed, "revoke", "mine")
    eventually(lambda: listed(mine).status_code == 401, what="the end of the key")
    with keyed.api as api:
        assert api.get(f"/v1/sandboxes/{sandbox.id}").json()["status"]["state"] == "Running"
        assert api.delete(f"/v1/sandboxes/{sandbox.id}").status_code == 204
    sandbox.close()
    lines = [json.loads(line) for line in (keyed.folder / "requests.log").read_text().splitlines()]
    made = [line for line in lines if line["method"] == "POST" and line["path"] == "/v1/sandboxes"]
    assert [(line["key"], line["sandbox"], line["status"]) for line in made] == [("mine", sandbox.id, 202)]
    assert {line["key"] for line in lines if line["method"] == "DELETE"} == {"server.api_key"}
    text = (keyed.folder / "requests.log").read_text() + keyed.log.read_text(errors="replace")
    assert not any(secret in text for secret in (mine, other, reader, keyed.key))


def test_a_burst_of_creates_is_told_when_to_come_again(keyed):
    """The first waits for a registry that says nothing, the second for the first; the third is one too many."""
    with socket.socket() as silent, keyed.api as api:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        slow = keyed.body(image={"uri": f"127.0.0.1:{silent.getsockname()[1]}/slow/image:1"})
        answers = []
        threads = [threading.Thread(target=lambda body=body: answers.append(api.post("/v1/sandboxes", json=body)))
                   for body in (slow, keyed.body())]
        for number, thread in enumerate(threads, 1):
            thread.start()
            eventually(lambda: len(keyed.ids()) == number, what="a create that waits")
        with pytest.raises(SandboxRateLimitException) as refused:
            keyed.create()
        assert refused.value.error.code == "SANDBOX::CAPACITY_EXHAUSTED" and refused.value.retry_after == timedelta(seconds=1)
        assert len(keyed.ids()) == 2
        # The first is called off, so that the second has its turn.
        waiting = [one["id"] for one in api.get("/v1/sandboxes").json()["items"] if one["image"]["uri"] != IMAGE]
        assert api.delete(f"/v1/sandboxes/{waiting[0]}").status_code == 204
        for thread in threads:
            thread.join(timeout=60)
        assert sorted(answer.status_code for answer in answers) == [202, 409]
        for sandbox in keyed.ids():
            api.delete(f"/v1/sandboxes/{sandbox}")
