"""The guard is killed while its policy changes: never open what was not acknowledged as open, never closed after it was
acknowledged, unless revoked (docs/threats.md, E22). Datagrams say so, sent all the while."""

import http.client
import json
import random
import subprocess
import threading
import time

import httpx
import pytest
from arena import ONE, deny_but
from guards import BARRIER_RULE, NEVER, PROBED, Watch, allow, allowed, reaches
from support.length import times
from support.waiting import eventually


class Stream:
    """One client that changes a policy until nobody answers. `model` is what is acknowledged; `pending`, what the change
    in flight would make of it. Some changes are of several rules: all of them, or none."""

    def __init__(self, ask, watch, seed):
        self.ask, self.watch = ask, watch
        self.random = random.Random(seed)
        self.model, self.pending, self.acknowledged = set(), None, 0
        self.errors = []

    def run(self):
        try:
            while self._change():
                pass
        except BaseException as error:
            self.errors.append(error)

    def _change(self):
        targets = self.random.sample(PROBED, self.random.choice([1, 1, 2, 4]))
        kind = self.random.choice(["allow", "allow", "deny", "remove"])
        after = self.model | set(targets) if kind == "allow" else self.model - set(targets)
        for target in after ^ self.model:
            self.watch.set(target, None)
        self.pending = after
        try:
            if kind == "remove":
                status, text = self.ask("DELETE", targets)
            else:
                status, text = self.ask("PATCH", [{"action": kind, "target": target} for target in targets])
        except (httpx.TransportError, http.client.HTTPException, OSError):
            return False
        assert status == 200, text
        for target in after ^ self.model:
            self.watch.set(target, target in after)
        self.model, self.pending = after, None
        self.acknowledged += 1
        return True

    def recover(self, found):
        """What the next guard says must be one of the two; then it is acknowledged."""
        assert found in [self.model] + ([self.pending] if self.pending is not None else []), (
            found, self.model, self.pending)
        for target in found ^ self.model:
            self.watch.set(target, target in found)
        for target in PROBED:
            if self.watch.known[target][0] is None:
                self.watch.set(target, target in found)
        self.model, self.pending = found, None


def kills(stream, kill, start, document, rounds):
    for _ in range(rounds):
        thread = threading.Thread(target=stream.run)
        thread.start()
        # The moment is the test's parameter.
        time.sleep(stream.random.uniform(0, 0.2))
        stream.watch.tell("killed")
        kill()
        thread.join()
        assert not stream.errors, stream.errors
        begin = time.monotonic()
        start()
        stream.watch.exchanges.append((begin, time.monotonic()))
        stream.watch.tell("serves")
        stream.recover(allowed(document()))


@pytest.mark.parametrize("seed", range(times(2)))
def test_a_guard_that_is_killed_amid_changes_keeps_what_it_acknowledged(guard, seed):
    arena = guard()
    attacker = arena.attacker(deny_but("one.example"))
    assert attacker.asks("one.example") == [ONE]
    watch = Watch(attacker, {NEVER: False, ONE: True, **{target: False for target in PROBED}})

    def ask(method, body):
        answer = attacker.policy(method, json=body)
        return answer.status_code, answer.text

    stream = Stream(ask, watch, seed)
    kills(stream, arena.kill, arena.start, lambda: attacker.policy("GET").json()["policy"], rounds=times(6))
    watch.end()
    assert stream.acknowledged
    assert reaches(attacker, PROBED + [NEVER]) == stream.model


def test_a_sidecar_that_is_killed_amid_changes_keeps_what_it_acknowledged(sidecar):
    one = sidecar()
    assert one.request("PUT", body=deny_but())[0] == 200
    watch = Watch(one.attacker, {NEVER: False, **{target: False for target in PROBED}})
    stream = Stream(lambda method, body: one.request(method, body=body), watch, 7)

    def start():
        # It begins with a closed namespace: what is open is so again when it serves.
        for target in stream.model:
            watch.set(target, None)
        one.start()

    kills(stream, one.kill, start, lambda: json.loads(one.request("GET")[1])["policy"], rounds=times(4))
    watch.end()
    assert stream.acknowledged
    assert reaches(one.attacker, PROBED + [NEVER]) == stream.model


def test_a_protection_that_is_cut_short_is_whole_or_can_be_had_again(guard):
    arena, order = guard(), random.Random(11)
    policy = deny_but(PROBED[0])
    for number in range(8):
        attacker = arena.attacker(guarded=False)
        body, acknowledged = {"namespace": f"/run/netns/{attacker.namespace}", "policy": policy}, []

        def protect():
            try:
                acknowledged.append(arena.admin.put(f"/sandboxes/{attacker.id}", json=body).status_code)
            except httpx.TransportError:
                pass

        thread = threading.Thread(target=protect)
        thread.start()
        time.sleep(order.uniform(0, 0.03))
        arena.kill()
        thread.join()
        if acknowledged:
            # Also while there is nobody.
            assert reaches(attacker, [PROBED[0], NEVER]) == {PROBED[0]}
        arena.start()
        known = attacker.id in arena.admin.get("/sandboxes").json()
        assert known or not acknowledged, "an acknowledged protection is lost"
        if not known:
            attacker.protect(policy)
        attacker.guarded = True
        assert reaches(attacker, [PROBED[0], NEVER]) == {PROBED[0]}
        assert attacker.asks("two.example") == []
        attacker.close()


def test_a_namespace_that_goes_while_it_is_guarded_takes_nobody_with_it(guard):
    arena = guard()
    gone, stays = arena.attacker(deny_but()), arena.attacker(deny_but("one.example"))
    subprocess.run(["ip", "netns", "delete", gone.namespace], check=True)
    # The guard's own sockets still hold it: either answer is right, an answer there must be.
    assert gone.policy("PATCH", json=allow("x.example")).status_code in (200, 500)
    assert stays.asks("one.example") == [ONE]
    arena.kill()
    arena.start()
    # Its folder is left behind by nobody: the next guard knows of no such sandbox.
    assert arena.admin.get("/sandboxes").json() == [stays.id]
    assert arena.admin.delete(f"/sandboxes/{gone.id}").status_code == 204
    assert stays.policy("PATCH", json=allow("two.example")).status_code == 200
    assert stays.asks("two.example") != []
    gone.guarded = False


def test_a_namespace_that_goes_while_it_is_being_protected_is_an_error_or_guarded(guard):
    arena, order = guard(), random.Random(3)
    stays = arena.attacker(deny_but("one.example"))
    for _ in range(6):
        attacker = arena.attacker(guarded=False)
        answers = []

        def protect():
            answers.append(arena.admin.put(
                f"/sandboxes/{attacker.id}",
                json={"namespace": f"/run/netns/{attacker.namespace}", "policy": deny_but()}).status_code)

        thread = threading.Thread(target=protect)
        thread.start()
        time.sleep(order.uniform(0, 0.02))
        subprocess.run(["ip", "netns", "delete", attacker.namespace], check=True)
        thread.join()
        assert answers in ([200], [500]), answers
        assert arena.admin.delete(f"/sandboxes/{attacker.id}").status_code == 204
        attacker.close()
    assert arena.admin.get("/sandboxes").json() == [stays.id]
    assert stays.asks("one.example") == [ONE]
    # The guard lets go of what it held: a namespace's sockets are closed with its sandbox.
    eventually(lambda: arena.guard.poll() is None and stays.asks("one.example") == [ONE], what="an answer")
