"""The life of a sandbox, by the official SDK (docs/wire.md#lifecycle)."""

import time
from datetime import datetime, timedelta, timezone

import pytest
from opensandbox import SandboxSync
from opensandbox.exceptions import SandboxApiException
from opensandbox.models.sandboxes import SandboxFilter
from support.server import IMAGE, deny_but
from support.inside import fetches, resolves, say
from support.leftovers import name_of
from support.waiting import eventually


def now():
    return datetime.now(timezone.utc)


def refused(status, call, *words):
    with pytest.raises(SandboxApiException) as refusal:
        call(*words)
    assert refusal.value.status_code == status, refusal.value
    assert refusal.value.request_id
    return refusal.value.error.code


def test_information_says_what_was_asked_for(create):
    sandbox = create(metadata={"team": "red"}, timeout=timedelta(minutes=5), entrypoint=["sleep", "9999"])
    info = sandbox.get_info()
    assert info.id == sandbox.id and info.status.state == "Running"
    assert info.image.image == IMAGE and info.entrypoint == ["sleep", "9999"] and info.metadata == {"team": "red"}
    assert abs(info.expires_at - info.created_at - timedelta(minutes=5)) < timedelta(seconds=1)
    assert abs(now() - info.created_at) < timedelta(seconds=30)


def test_a_sandbox_without_a_timeout_has_no_end(create):
    sandbox = create(timeout=None)
    assert sandbox.get_info().expires_at is None
    assert refused(409, sandbox.renew, timedelta(minutes=5)) == "DOCKER::INVALID_EXPIRATION"


def test_renewing_moves_the_end_in_both_directions(create):
    sandbox = create(timeout=timedelta(minutes=10))
    for minutes in (60, 2):
        answer = sandbox.renew(timedelta(minutes=minutes))
        assert abs(answer.expires_at - now() - timedelta(minutes=minutes)) < timedelta(seconds=5)
        assert sandbox.get_info().expires_at == answer.expires_at


def test_a_sandbox_whose_time_has_come_is_deleted_with_everything(create, server):
    sandbox, kept = create(), create()
    assert len(server.leftovers.namespaces()) >= 2
    sandbox.renew(timedelta(seconds=1))
    eventually(lambda: sandbox.id not in server.ids(), what="the deletion")
    assert refused(404, sandbox.get_info) == "DOCKER::SANDBOX_NOT_FOUND"
    eventually(lambda: name_of(sandbox.id) not in server.leftovers.folders())
    eventually(lambda: sandbox.id not in server.leftovers.rows())
    assert kept.get_info().status.state == "Running"


def test_pausing_stops_processes_and_resuming_goes_on_with_them(create, server):
    sandbox = create(entrypoint=["sh", "-c", "while :; do date +%s.%N >> /tmp/ticks; sleep 0.05; done"])
    eventually(lambda: sandbox.commands.run("test -s /tmp/ticks").exit_code == 0)
    sandbox.pause()
    assert sandbox.get_info().status.state == "Paused"
    assert refused(409, sandbox.pause) == "DOCKER::SANDBOX_NOT_RUNNING"
    ticks = server.state / "sandboxes" / name_of(sandbox.id)
    file = next(path for path in ticks.rglob("ticks") if path.is_file())
    size, changes = file.stat().st_size, []
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        changes.append(file.stat().st_size)
        time.sleep(0.05)
    assert set(changes) == {size}
    resumed = SandboxSync.resume(sandbox.id, connection_config=server.connection())
    try:
        assert resumed.get_info().status.state == "Running"
        eventually(lambda: file.stat().st_size > size, what="another tick")
        with server.manager() as manager:
            assert refused(409, manager.resume_sandbox, sandbox.id) == "DOCKER::SANDBOX_NOT_PAUSED"
    finally:
        resumed.close()


def test_a_policy_outlives_pause_and_resume(create, server, world):
    sandbox = create(network_policy=deny_but("one.example"))
    sandbox.pause()
    resumed = SandboxSync.resume(sandbox.id, connection_config=server.connection())
    try:
        assert fetches(resumed, "http://one.example/") and not resolves(resumed, "two.example")
        assert not fetches(resumed, f"http://{world.two}/")
    finally:
        resumed.close()


def test_a_sandbox_is_connected_to_by_its_id(create, server):
    sandbox = create()
    again = SandboxSync.connect(sandbox.id, connection_config=server.connection())
    try:
        again.check_ready(timedelta(seconds=20), timedelta(milliseconds=20))
        assert say(again, "echo hello") == "hello"
        assert again.is_healthy()
    finally:
        again.close()


def test_a_killed_sandbox_is_gone_at_once(create, server):
    sandbox = create()
    sandbox.kill()
    assert refused(404, sandbox.get_info) == "DOCKER::SANDBOX_NOT_FOUND"
    assert refused(404, sandbox.kill) == "DOCKER::SANDBOX_NOT_FOUND"
    assert sandbox.id not in server.ids()


def test_metadata_is_set_changed_and_removed(create):
    sandbox = create(metadata={"kept": "1", "changed": "1", "removed": "1"})
    info = sandbox.patch_metadata({"changed": "2", "removed": None, "new.example/key": ""})
    assert info.metadata == {"kept": "1", "changed": "2", "new.example/key": ""}
    assert sandbox.get_info().metadata == info.metadata


def test_lists_are_filtered_by_state_and_metadata_and_come_in_pages(create, server):
    boxes = [create(metadata={"suite": "listing", "number": str(number)}) for number in range(3)]
    boxes[0].pause()
    with server.manager() as manager:
        def found(**options):
            return manager.list_sandbox_infos(SandboxFilter(metadata={"suite": "listing"}, **options))

        everything = found()
        assert [info.id for info in everything.sandbox_infos] == [box.id for box in reversed(boxes)]
        assert everything.pagination.total_items == 3 and not everything.pagination.has_next_page
        assert [info.id for info in found(states=["paused"]).sandbox_infos] == [boxes[0].id]
        assert len(found(states=["Paused", "Running"]).sandbox_infos) == 3
        assert found(states=["Failed"]).sandbox_infos == []
        first, second = found(page=1, page_size=2), found(page=2, page_size=2)
        assert [len(first.sandbox_infos), len(second.sandbox_infos)] == [2, 1]
        assert first.pagination.has_next_page and not second.pagination.has_next_page
        assert first.pagination.total_pages == 2
        both = SandboxFilter(metadata={"suite": "listing", "number": "1"})
        assert [info.id for info in manager.list_sandbox_infos(both).sandbox_infos] == [boxes[1].id]


def test_a_sandbox_whose_entrypoint_fails_is_failed_and_can_be_deleted(create, server):
    program = "while [ ! -e /tmp/end ]; do sleep 0.05; done; echo the end; exit 3"
    # One text is split as a shell would.
    sandbox = create(entrypoint=[f"sh -c '{program}'"])
    assert sandbox.get_info().entrypoint == ["sh", "-c", program]
    sandbox.files.write_file("/tmp/end", "")
    info = eventually(lambda: (i := sandbox.get_info()).status.state != "Running" and i, what="the end")
    assert (info.status.state, info.status.reason) == ("Failed", "ENTRYPOINT_EXITED")
    assert info.status.message == "the entrypoint ended with exit code 3"
    assert info.status.message in sandbox.get_diagnostic_events("runtime").content
    assert "the end" in sandbox.get_diagnostic_logs("container").content
    sandbox.destroy()
    assert sandbox.id not in server.ids()


def test_an_entrypoint_that_a_signal_ends_says_which(create):
    sandbox = create(entrypoint=["sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.05; done; kill -SEGV $$"])
    sandbox.files.write_file("/tmp/end", "")
    info = eventually(lambda: (i := sandbox.get_info()).status.state != "Running" and i, what="the end")
    assert info.status.reason == "ENTRYPOINT_KILLED" and "signal 11 (SIGSEGV)" in info.status.message


def test_diagnostics_tell_the_output_and_the_events_of_a_sandbox(create):
    sandbox = create(entrypoint=["sh", "-c", "echo printed; exec sleep 1000"])
    logs = eventually(lambda: "printed" in (d := sandbox.get_diagnostic_logs("all")).content and d, what="the log")
    assert (logs.sandbox_id, logs.kind, logs.scope, logs.delivery) == (sandbox.id, "logs", "all", "inline")
    sandbox.pause()
    events = sandbox.get_diagnostic_events("runtime")
    assert "Running" in events.content and "Paused" in events.content
    assert refused(400, sandbox.get_diagnostic_logs, "no-such-scope")


def test_twenty_sandboxes_are_made_at_once(server):
    import threading

    made, errors = [], []

    def one(number):
        try:
            made.append(server.create(metadata={"many": "yes"}, network_policy=deny_but(f"n{number}.example")))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert not errors and len({sandbox.id for sandbox in made}) == 20
        addresses = {say(sandbox, "grep sandbox- /etc/hosts | cut -f1") for sandbox in made}
        assert len(addresses) == 20
    finally:
        threads = [threading.Thread(target=sandbox.kill) for sandbox in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not {sandbox.id for sandbox in made} & set(server.ids())
