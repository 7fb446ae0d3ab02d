"""Many clients, large requests and slow ones at one sandbox's policy; the others' names are answered meanwhile
(docs/threats.md, E23)."""

import http.client
import json
import pathlib
import socket
import threading

import pytest
from arena import ONE, deny_but
from guards import BARRIER_RULE, FaultyArena, allow

CLIENTS, CHANGES = 50, 200


@pytest.fixture(scope="module")
def arena():
    arena = FaultyArena()
    yield arena
    ended = arena.guard.poll()
    arena.close()
    assert ended is None, "the guard has ended"
    assert not arena.leftovers()


class Client:
    """One kept connection to the guard, with as little between as may be."""

    def __init__(self, arena, attacker, token):
        self.path = f"/sandboxes/{attacker.id}/policy"
        self.headers = {"OPENSANDBOX-EGRESS-AUTH": token, "Content-Type": "application/json"}
        self.connection = http.client.HTTPConnection("guard")
        self.connection.sock = socket.socket(socket.AF_UNIX)
        self.connection.sock.settimeout(60)
        self.connection.sock.connect(str(arena.folder / "run/egress-admin.sock"))

    def request(self, method, body=None):
        self.connection.request(method, self.path, None if body is None else json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def close(self):
        self.connection.close()


def token(arena, attacker):
    return arena.admin.get(f"/sandboxes/{attacker.id}/token").text


def resident(process):
    """Bytes."""
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10


def test_ten_thousand_changes_at_once_lose_nothing_and_keep_an_order(arena, attacker):
    one, other = attacker(deny_but()), attacker(deny_but("one.example"))
    secret, failures, before = token(arena, one), [], resident(arena.guard)
    last = {}

    def change(number):
        client = Client(arena, one, secret)
        try:
            for turn in range(CHANGES):
                rule = {"action": "allow" if turn % 2 else "deny", "target": f"c{number}.example"}
                status, text = client.request("PATCH", [rule])
                assert status == 200, text
                # Its own change is in force when it is answered, in front of all that came before.
                assert json.loads(text)["policy"]["egress"][0] == rule, text[:200]
            last[number] = rule
        except BaseException as error:
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=change, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    answered = 0
    while any(thread.is_alive() for thread in threads):
        # dig waits three seconds for it.
        assert other.asks("one.example") == [ONE]
        answered += 1
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    assert answered
    rules = one.policy("GET").json()["policy"]["egress"]
    assert rules[-1] == BARRIER_RULE
    assert sorted(rule["target"] for rule in rules[:-1]) == sorted(rule["target"] for rule in last.values())
    assert all(rule in rules for rule in last.values())
    assert resident(arena.guard) - before < 128 << 20
    # What was acknowledged is what the next guard finds, in that order.
    arena.kill()
    arena.start()
    assert one.policy("GET").json()["policy"]["egress"] == rules


def test_more_rules_than_a_policy_may_have_change_nothing(arena, attacker):
    one = attacker(deny_but("one.example"))
    before = one.policy("GET").json()
    names = [f"n{number}.example" for number in range(10_000)]
    for method, body in (
        ("PATCH", allow(*names)), ("PUT", {"defaultAction": "allow", "egress": allow(*names)}), ("DELETE", names),
    ):
        answer = one.policy(method, json=body)
        assert answer.status_code == 400 and "4096" in answer.text, answer.text[:200]
        assert one.policy("GET").json() == before
    # One by one it is the same: the limit is of the policy, not of a request.
    assert one.policy("PATCH", json=allow(*names[:4000])).status_code == 200
    assert one.policy("PATCH", json=allow(*names[4000:4200])).status_code == 400
    assert len(one.policy("GET").json()["policy"]["egress"]) == 4002
    assert one.asks("one.example") == [ONE] and one.asks("two.example") == []


def test_a_body_that_is_too_large_changes_nothing(arena, attacker):
    one = attacker(deny_but("one.example"))
    before = one.policy("GET").json()
    answer = one.policy("PATCH", content=b"[" + b" " * (2 << 20) + b"]")
    assert answer.status_code == 413
    assert one.policy("GET").json() == before


def test_clients_that_say_little_and_slowly_keep_nobody_waiting(arena, attacker):
    one = attacker(deny_but("one.example"))
    secret = token(arena, one)
    heads = [
        b"PATCH", f"PATCH /sandboxes/{one.id}/policy HTTP/1.1\r\nHost: x\r\n".encode(),
        f"PATCH /sandboxes/{one.id}/policy HTTP/1.1\r\nHost: x\r\nOPENSANDBOX-EGRESS-AUTH: {secret}\r\n"
        "Content-Length: 100\r\n\r\n[".encode()]
    slow = []
    try:
        for number in range(150):
            client = socket.socket(socket.AF_UNIX)
            slow.append(client)
            client.connect(str(arena.folder / "run/egress-admin.sock"))
            client.sendall(heads[number % 3])
        for number in range(20):
            assert one.policy("PATCH", json=allow(f"n{number}.example")).status_code == 200
        assert one.asks("one.example") == [ONE]
        assert len(one.policy("GET").json()["policy"]["egress"]) == 22
    finally:
        for client in slow:
            client.close()
    # They have left in the middle of what they said, and it goes on.
    assert one.policy("PATCH", json=allow("last.example")).status_code == 200
