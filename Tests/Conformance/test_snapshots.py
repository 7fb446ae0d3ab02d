"""Snapshots, by the official SDK and its command line (docs/snapshots.md)."""

import asyncio
import json
import threading
from datetime import timedelta

import pytest
from opensandbox import Sandbox, SandboxManager, SandboxSync
from opensandbox.config import ConnectionConfig
from opensandbox.exceptions import SandboxApiException
from opensandbox.models.sandboxes import SnapshotFilter
from support.inside import exit_code, fetches, say
from support.server import deny_but
from support.waiting import eventually, patient
from test_cli import in_process


@pytest.fixture
def manager(server):
    with server.manager() as manager:
        yield manager


@pytest.fixture
def capture(manager):
    """Takes snapshots that end with the test; `capture(sandbox)` returns one that is ready."""
    made = []

    def capture(sandbox, name=None):
        made.append(manager.create_snapshot(sandbox.id, name).id)
        return ready(manager, made[-1])

    yield capture
    for snapshot in made:
        try:
            manager.delete_snapshot(snapshot)
        except SandboxApiException as error:
            assert error.status_code == 404, error


def ready(manager, snapshot):
    def is_over():
        info = manager.get_snapshot(snapshot)
        return info if info.status.state != "Creating" else None

    info = eventually(is_over, what="the snapshot")
    assert info.status.state == "Ready", info.status
    return info


@pytest.fixture
def restore(server):
    """Restores sandboxes that end with the test."""
    made = []

    def restore(snapshot, **more):
        made.append(SandboxSync.create(
            snapshot_id=snapshot, connection_config=server.connection(),
            **{"resource": {"cpu": "1", "memory": "256Mi"}, "ready_timeout": timedelta(seconds=patient(30)), **more}))
        server.seen.add(made[-1].id)
        return made[-1]

    yield restore
    for sandbox in made:
        with server.api as client:
            client.delete(f"/v1/sandboxes/{sandbox.id}")
        sandbox.close()


def test_the_files_of_a_sandbox_outlive_it(create, capture, restore, manager):
    source = create(metadata={"team": "red"}, env={"SECRET": "of-the-source"}, timeout=None,
                    network_policy=deny_but("one.example"))
    say(source, "mkdir -p /work/deep && echo one > /work/deep/file && rm /etc/shells && useradd -m somebody "
                "&& touch /home/somebody/own && chown somebody /home/somebody/own && echo 10.9.9.9 other >> /etc/hosts")
    taken = capture(source, "before")
    assert taken.name == "before" and taken.sandbox_id == source.id and taken.status.last_transition_at >= taken.created_at
    say(source, "echo two > /work/deep/file")
    source.kill()
    restored = restore(taken.id, timeout=timedelta(minutes=10))
    assert say(restored, "cat /work/deep/file").strip() == "one"
    assert exit_code(restored, "test -e /etc/shells") != 0
    assert say(restored, "stat -c %U /home/somebody/own").strip() == "somebody"
    assert "other" not in say(restored, "cat /etc/hosts"), "the network is the sandbox's own"
    info = restored.get_info()
    assert info.snapshot_id == taken.id and info.image is None and not info.metadata
    assert info.entrypoint == ["tail", "-f", "/dev/null"]
    # None of what the source was: its variables, its end, its policy.
    assert "of-the-source" not in say(restored, "env; cat /proc/1/environ 2>/dev/null | tr '\\0' '\\n'")
    assert restored.renew(timedelta(minutes=20)).expires_at == restored.get_info().expires_at
    assert fetches(restored, "http://two.example/") and fetches(restored, "http://one.example/")


def test_a_restored_sandbox_has_the_policy_and_the_limits_of_its_own_request(create, capture, restore, world):
    taken = capture(create())
    restored = restore(taken.id, network_policy=deny_but("one.example"), metadata={"a": "b"}, entrypoint=["sleep", "5000"])
    assert fetches(restored, "http://one.example/") and not fetches(restored, f"http://{world.two}/")
    assert restored.get_info().metadata == {"a": "b"} and restored.get_info().entrypoint == ["sleep", "5000"]
    restored.pause()
    again = SandboxSync.resume(restored.id, connection_config=restored.connection_config)
    assert say(again, "echo here").strip() == "here"


def test_snapshots_are_listed_by_sandbox_name_and_state(create, capture, manager):
    sandbox, other = create(), create()
    first, second = capture(sandbox, "a"), capture(sandbox, "b")
    capture(other, "a")

    def ids(**filter):
        page = manager.list_snapshots(SnapshotFilter(**filter))
        return [info.id for info in page.snapshot_infos], page.pagination.total_items, page.pagination.total_pages

    assert ids(sandbox_id=sandbox.id) == ([second.id, first.id], 2, 1)
    assert ids(sandbox_id=sandbox.id, states=["Ready"]) == ([second.id, first.id], 2, 1)
    assert ids(sandbox_id=sandbox.id, states=["Failed", "Creating"]) == ([], 0, 0)
    assert ids(sandbox_id=sandbox.id, name="a") == ([first.id], 1, 1)
    assert ids(sandbox_id=sandbox.id, page=2, page_size=1) == ([first.id], 2, 2)
    manager.delete_snapshot(first.id)
    manager.delete_snapshot(second.id)
    assert ids(sandbox_id=sandbox.id) == ([], 0, 0)
    with pytest.raises(SandboxApiException) as refusal:
        manager.get_snapshot(first.id)
    assert refusal.value.status_code == 404 and refusal.value.error.code == "SNAPSHOT::NOT_FOUND"


def test_the_answer_is_the_contract_s(create, api):
    sandbox = create()
    answer = api.post(f"/sandboxes/{sandbox.id}/snapshots", json={})
    body = answer.json()
    assert answer.status_code == 202 and answer.headers["location"] == f"/v1/snapshots/{body['id']}"
    assert set(body) == {"id", "sandboxId", "status", "createdAt"}
    assert body["status"] == {"state": "Creating", "reason": "snapshot_accepted", "message": "Snapshot creation accepted.",
                              "lastTransitionAt": body["createdAt"]}
    eventually(lambda: api.get(answer.headers["location"]).json()["status"]["state"] == "Ready")
    assert api.delete(f"/snapshots/{body['id']}").status_code == 204


def test_a_snapshot_may_be_deleted_while_sandboxes_stand_on_it(create, capture, restore, manager):
    source = create()
    say(source, "echo one > /one")
    taken = capture(source)
    restored = restore(taken.id)
    manager.delete_snapshot(taken.id)
    assert say(restored, "cat /one && echo two > /one && cat /one").split() == ["one", "two"]
    again = restore(capture(restored).id)
    assert say(again, "cat /one").strip() == "two"


def test_many_sandboxes_of_one_snapshot_do_not_share_what_they_write(create, capture, restore):
    source = create()
    say(source, "echo of-the-source > /file")
    taken = capture(source)
    forks = [restore(taken.id) for _ in range(4)]
    for number, fork in enumerate(forks):
        say(fork, f"echo {number} >> /file")
    assert [say(fork, "cat /file").split() for fork in forks] == [["of-the-source", str(n)] for n in range(4)]
    assert say(source, "cat /file").split() == ["of-the-source"]


def test_every_file_that_was_closed_is_in_it_while_the_sandbox_writes_at_full_speed(create, capture, restore):
    source = create()
    say(source, "mkdir /n; (i=0; while :; do i=$((i+1)); echo $i > /n/$i; done) >/dev/null 2>&1 & sleep 0.3; echo begun")
    last = int(say(source, "ls /n | sort -n | tail -2 | head -1"))
    taken = capture(source)
    restored = restore(taken.id)
    found = say(restored, f"cd /n && cat $(seq {last}) | sort -n | uniq | wc -l")
    assert int(found) == last


def test_two_at_once_of_one_sandbox_are_refused_and_it_runs_on(create, server):
    sandbox = create()
    say(sandbox, "dd if=/dev/zero of=/big bs=1M count=200 status=none")
    answers = []

    def take():
        with server.api as client:
            answers.append(client.post(f"/v1/sandboxes/{sandbox.id}/snapshots"))

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    codes = {answer.json()["code"] for answer in answers if answer.status_code != 202}
    assert taken and codes <= {"SNAPSHOT::RUNTIME_CREATE_CONFLICT"}
    with server.api as client, server.manager() as manager:
        for snapshot in taken:
            ready(manager, snapshot)
            assert client.delete(f"/v1/snapshots/{snapshot}").status_code == 204
    assert say(sandbox, "echo alive").strip() == "alive"


def test_a_paused_sandbox_is_captured_and_stays_paused(create, capture, restore, manager):
    source = create()
    say(source, "echo one > /one")
    source.pause()
    taken = capture(source)
    assert manager.get_sandbox_info(source.id).status.state == "Paused"
    assert say(restore(taken.id), "cat /one").strip() == "one"


def test_the_asynchronous_client_does_the_same(create, server):
    source = create()
    say(source, "echo one > /one")

    async def tour():
        config = ConnectionConfig(api_key=server.key, domain=f"127.0.0.1:{server.port}",
                                  request_timeout=timedelta(seconds=patient(30)), disable_metrics=True)
        connected = await Sandbox.connect(source.id, connection_config=config)
        taken = await connected.create_snapshot("async")
        manager = await SandboxManager.create(config)
        while (await manager.get_snapshot(taken.id)).status.state == "Creating":
            await asyncio.sleep(0.02)
        page = await manager.list_snapshots(SnapshotFilter(sandbox_id=source.id))
        assert [info.id for info in page.snapshot_infos] == [taken.id]
        restored = await Sandbox.create(snapshot_id=taken.id, connection_config=config,
                                        resource={"cpu": "1", "memory": "256Mi"})
        server.seen.add(restored.id)
        done = await restored.commands.run("cat /one")
        await restored.kill()
        await manager.delete_snapshot(taken.id)
        return done.logs.stdout[0].text.strip()

    assert asyncio.run(tour()) == "one"


def test_the_command_line_takes_lists_shows_restores_and_deletes_them(create, server, tmp_path):
    source = create()
    environment = {**server.environment(), "HOME": str(tmp_path), "NO_COLOR": "1"}

    def osb(*words):
        done = in_process(words + ("-o", "json"), environment, None)
        assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
        return done.stdout

    taken = json.loads(osb("snapshot", "create", source.id, "--name", "by-hand"))["id"]
    eventually(lambda: json.loads(osb("snapshot", "get", taken))["status"]["state"] == "Ready")
    assert taken in osb("snapshot", "list", "--sandbox-id", source.id, "--state", "Ready", "--name", "by-hand")
    osb("snapshot", "delete", taken)
    assert taken not in osb("snapshot", "list", "--sandbox-id", source.id)


# What a sandbox plants in its files for whoever is restored from them (docs/threats.md, R14).
PLANT = r'''
import os, socket, stat
os.makedirs("/plant/folder")
refused = []
def attempt(name, call, *words):
    try: call(*words)
    except OSError: refused.append(name)
attempt("whiteout", os.mknod, "/plant/whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))
attempt("device", os.mknod, "/plant/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
attempt("disk", os.mknod, "/plant/disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
open("/plant/file", "w").write("mine")
for place in ("/plant/file", "/plant/folder"):
    for space in ("user", "trusted"):
        for name, value in (("redirect", b"/etc"), ("metacopy", b""), ("opaque", b"y"), ("whiteout", b"y"), ("origin", b"x" * 20)):
            attempt(f"{space}.{name}", os.setxattr, place, f"{space}.overlay.{name}", value)
os.setxattr("/plant/file", "user.note", b"kept")
os.symlink("/etc/shadow", "/plant/shadow")
os.symlink("../../../../../../../../etc", "/plant/up")
os.symlink("/plant/nowhere", "/plant/dangling")
os.link("/plant/file", "/plant/second")
os.mkfifo("/plant/pipe")
socket.socket(socket.AF_UNIX).bind("/plant/socket")
open(b"/plant/latin1-\xe9", "w").write("mine")
open("/plant/set", "w").write("#!/bin/sh\nid -u\n"); os.chmod("/plant/set", 0o6755)
print(" ".join(sorted(set(refused))))
'''


def test_what_a_sandbox_plants_leads_a_restored_one_nowhere(create, capture, restore, server):
    secret = server.folder / "secret-of-the-host"
    secret.write_text("of the host")
    source = create()
    source.files.write_file("/tmp/plant.py", PLANT.replace("/etc/shadow", str(secret)))
    refused = set(say(source, "python3 /tmp/plant.py").split())
    # The control: what overlayfs would obey, the sandbox could not make.
    assert {"whiteout", "device", "disk"} <= refused
    assert {name for name in refused if name.startswith("trusted.")} == {
        f"trusted.{name}" for name in ("redirect", "metacopy", "opaque", "whiteout", "origin")}
    taken = capture(source)
    layer = server.state / "snapshots/layers" / taken.id
    files = [path for path in layer.rglob("*")]
    assert not [path for path in files if path.is_socket() or path.is_block_device()]
    restored = restore(taken.id)
    listed = say(restored, "ls -A /plant | cat -v").split()
    assert sorted(listed) == sorted(["dangling", "file", "folder", "latin1-M-i", "pipe", "second", "set", "shadow", "up"])
    assert say(restored, "cat /plant/file /plant/second") == "minemine"
    assert exit_code(restored, f"cat /plant/shadow || cat {secret}") != 0, "a link leads within the sandbox"
    assert say(restored, "ls /plant/up/hostname").strip() == "/plant/up/hostname"
    names = say(restored, "python3 -c 'import os; print(*sorted(os.listxattr(\"/plant/file\") + os.listxattr(\"/plant/folder\")))'")
    assert names.split() == ["user.note"]
    assert "mine" not in say(restored, "ls -A /plant/folder; ls -A /opt/opensandbox")


def test_a_sandbox_that_hides_our_files_gets_them_again(create, capture, restore):
    source = create()
    say(source, "rm -f /etc/hosts /etc/resolv.conf; mkdir /etc/hosts; ln -s /etc/passwd /etc/resolv.conf; rm /etc/hostname")
    restored = restore(capture(source).id)
    assert say(restored, "cat /etc/hostname").strip() == say(restored, "hostname").strip()
    assert "nameserver" in say(restored, "cat /etc/resolv.conf") and "localhost" in say(restored, "cat /etc/hosts")
    # A link in the place of the folder.
    other = create()
    say(other, "cp -a /etc /etc2 && mv /etc /etc3 && ln -s /etc2 /etc && rm -rf /etc3 || true")
    assert "nameserver" in say(restore(capture(other).id), "cat /etc/resolv.conf")
