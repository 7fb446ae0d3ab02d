"""The server is killed at bad moments. What was acknowledged is there afterwards, and guarded all the while; what was
not left nothing (docs/threats.md, E19 and E22)."""

import pathlib
import random
import subprocess
import threading
import time
from datetime import timedelta

import httpx
import pytest
from opensandbox import SandboxSync
from opensandbox.models.sandboxes import NetworkRule
from support.server import deny_but
from support.inside import fetches, resolves, say
from support.leftovers import GROUPS, name_of
from support.length import times
from support.waiting import eventually

# Says once for each line of /tmp/ask what a connection to it came to; it needs no server outside its sandbox.
PROBER = """
import os, socket, time
done = 0
while True:
    lines = open("/tmp/ask").read().splitlines() if os.path.exists("/tmp/ask") else []
    for line in lines[done:]:
        try:
            socket.create_connection((line, 80), 3).close()
            answer = "open"
        except OSError as error:
            answer = "closed"
        with open("/tmp/answers", "a") as file:
            file.write(f"{line} {answer}\\n")
        done += 1
    time.sleep(0.02)
"""


def connected(server, name):
    return SandboxSync.connect(name, connection_config=server.connection())


def inside(server, path):
    """A file of the server's only sandbox, reached from the host while there is no server."""
    return pathlib.Path(f"/proc/{min(server.leftovers.processes())}/root{path}")


def test_a_sandbox_its_policy_and_its_end_outlive_the_server(own_server, world):
    sandbox = own_server.create(network_policy=deny_but("one.example"), metadata={"a": "b"},
                                   timeout=timedelta(minutes=30))
    sandbox.patch_egress_rules(deny_but("three.example").egress)
    before = sandbox.get_info()
    process = say(sandbox, "sleep 7777 >/dev/null 2>&1 & echo $!")
    own_server.kill()
    own_server.start()
    again = connected(own_server, sandbox.id)
    assert again.get_info() == before
    assert [rule.target for rule in again.get_egress_policy().egress] == ["three.example", "one.example"]
    assert say(again, f"kill -0 {process} && echo alive") == "alive"
    assert fetches(again, "http://one.example/") and fetches(again, "http://three.example/")
    assert not resolves(again, "two.example") and not fetches(again, f"http://{world.two}/")


def test_enforcement_holds_while_there_is_no_server(own_server, world):
    sandbox = own_server.create(network_policy=deny_but("one.example"), entrypoint=["python3", "-c", PROBER])
    assert fetches(sandbox, "http://one.example/")
    own_server.kill()
    heard = world.heard(world.two)
    addresses = [world.one, world.two, world.two_v6, "one.example", world.three, world.one]
    inside(own_server, "/tmp/ask").write_text("".join(f"{address}\n" for address in addresses))
    answers = inside(own_server, "/tmp/answers")
    eventually(lambda: answers.exists() and len(answers.read_text().splitlines()) == len(addresses), within=40)
    found = [line.split()[1] for line in answers.read_text().splitlines()]
    assert found == ["open", "closed", "closed", "closed", "closed", "open"], found
    assert world.heard(world.two) == heard
    own_server.start()
    again = connected(own_server, sandbox.id)
    assert fetches(again, "http://one.example/") and not fetches(again, f"http://{world.two}/")


def test_a_learned_address_is_known_again_after_a_restart(own_server, world):
    sandbox = own_server.create(network_policy=deny_but("one.example"))
    say(sandbox, "getent ahosts one.example")
    own_server.kill()
    own_server.start()
    again = connected(own_server, sandbox.id)
    asked = world.names.asked["one.example"]
    assert fetches(again, f"http://{world.one}/") and fetches(again, f"http://[{world.one_v6}]/")
    assert world.names.asked["one.example"] == asked
    again.patch_egress_rules([NetworkRule(action="deny", target="one.example")])
    assert not fetches(again, f"http://{world.one}/")


def test_a_paused_sandbox_is_paused_after_a_restart(own_server):
    sandbox = own_server.create(network_policy=deny_but("one.example"))
    sandbox.pause()
    own_server.kill()
    own_server.start()
    with own_server.manager() as manager:
        assert manager.get_sandbox_info(sandbox.id).status.state == "Paused"
    resumed = SandboxSync.resume(sandbox.id, connection_config=own_server.connection())
    assert fetches(resumed, "http://one.example/") and not resolves(resumed, "two.example")


def test_a_sandbox_that_expires_while_there_is_no_server_is_deleted_by_the_next(own_server):
    sandbox, kept = own_server.create(), own_server.create()
    end = sandbox.renew(timedelta(seconds=1)).expires_at.timestamp()
    own_server.kill()
    eventually(lambda: time.time() > end)
    own_server.start()
    eventually(lambda: own_server.ids() == [kept.id], what="the deletion")


def test_a_sandbox_that_ends_while_there_is_no_server_is_terminated(own_server):
    sandbox = own_server.create(
        entrypoint=["sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.05; done"])
    own_server.kill()
    inside(own_server, "/tmp/end").touch()
    eventually(lambda: not own_server.leftovers.processes(), what="the end")
    own_server.start()
    assert own_server.api.get(f"/v1/sandboxes/{sandbox.id}").json()["status"]["state"] == "Terminated"


def test_signatures_and_keys_outlive_the_server(own_server):
    sandbox = own_server.create(secure_access=True)
    signed = sandbox.get_signed_endpoint(44772, int(time.time()) + 600)
    plain = sandbox.get_endpoint(44772)
    own_server.kill()
    own_server.start()
    for endpoint in (signed, plain):
        assert httpx.get(f"http://{endpoint.endpoint}/ping", headers=endpoint.headers).status_code == 200


@pytest.mark.parametrize("seed", range(times(8)))
def test_a_create_that_is_cut_short_left_nothing_or_a_whole_sandbox(own_server, world, seed):
    delay = random.Random(seed).uniform(0, 0.16)
    acknowledged, policy = [], {"defaultAction": "deny", "egress": [{"action": "allow", "target": "one.example"}]}

    def create():
        try:
            with own_server.api as client:
                answer = client.post("/v1/sandboxes", json=own_server.body(networkPolicy=policy))
                acknowledged.append(answer.json()["id"])
        except httpx.TransportError:
            pass

    threads = [threading.Thread(target=create) for _ in range(3)]
    for thread in threads:
        thread.start()
    # The moment is the test's parameter; nothing is waited for.
    time.sleep(delay)
    own_server.kill()
    for thread in threads:
        thread.join()
    own_server.start()
    # An answer may have been lost on its way: such a sandbox is whole, too.
    ids = own_server.ids()
    assert set(acknowledged) <= set(ids)
    left = own_server.leftovers
    eventually(lambda: len(left.namespaces()) == len(left.links()) == len(left.rows()) == len(left.folders()) == len(ids),
               what=f"what belongs to {len(ids)} sandboxes")
    for name in ids:
        sandbox = connected(own_server, name)
        assert fetches(sandbox, "http://one.example/") and not fetches(sandbox, f"http://{world.two}/")


@pytest.mark.parametrize("seed", range(times(4)))
def test_a_deletion_that_is_cut_short_is_finished(own_server, seed):
    sandboxes = [own_server.create() for _ in range(2)]
    delay = random.Random(seed).uniform(0, 0.06)

    def delete(sandbox):
        try:
            with own_server.api as client:
                client.delete(f"/v1/sandboxes/{sandbox.id}")
        except httpx.TransportError:
            pass

    threads = [threading.Thread(target=delete, args=(sandbox,)) for sandbox in sandboxes]
    for thread in threads:
        thread.start()
    time.sleep(delay)
    own_server.kill()
    for thread in threads:
        thread.join()
    own_server.start()
    # Not asked for, or finished: nothing between.
    with own_server.api as client:
        for name in own_server.ids():
            assert client.get(f"/v1/sandboxes/{name}").json()["status"]["state"] == "Running"
            assert client.delete(f"/v1/sandboxes/{name}").status_code == 204
    own_server.expect_nothing_left()


def test_a_control_group_that_was_in_use_is_removed_by_the_next_server(own_server):
    sandbox = own_server.create()
    # Below what the server looks through, so that it neither ends this process nor can remove the group.
    group = GROUPS / ("" if (GROUPS / "cgroup.controllers").exists() else "pids") / "sallyport" / name_of(sandbox.id)
    (group / "programs/held").mkdir()
    holder = subprocess.Popen(["sleep", "600"])
    try:
        (group / "programs/held/cgroup.procs").write_text(str(holder.pid))
        sandbox.kill()
        assert own_server.ids() == []
        own_server.kill()
        own_server.start()
    finally:
        holder.kill()
        holder.wait()
    eventually(lambda: not group.exists(), within=20, what="the end of the control group")
    own_server.expect_nothing_left()


def test_deleting_twice_at_once_deletes_once_and_fails_in_no_other_way(own_server):
    sandbox, statuses = own_server.create(), []

    def delete():
        with own_server.api as client:
            statuses.append(client.delete(f"/v1/sandboxes/{sandbox.id}").status_code)

    threads = [threading.Thread(target=delete) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [204, 404, 404, 404, 404]
    own_server.expect_nothing_left()


def test_a_gentle_end_keeps_sandboxes_and_is_quick(own_server):
    sandbox = own_server.create(network_policy=deny_but("one.example"))
    own_server.process.terminate()
    assert own_server.process.wait(timeout=10) == 0
    own_server.start()
    assert fetches(connected(own_server, sandbox.id), "http://one.example/")
