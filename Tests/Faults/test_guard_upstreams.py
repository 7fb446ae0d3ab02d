"""Upstreams that are dead, slow or lying, and come back (docs/threats.md, E22): names fail closed and in time, what was learned
stays open, and nothing has to be started again."""

import struct
import threading

import pytest
from arena import ONE, THREE, TWO, deny_but, response
from guards import FaultyArena, reaches
from support.waiting import eventually


class Moody:
    """Stands in front of the authority: silent until it is let go, or lying."""

    def __init__(self, names):
        self.names, self.true = names, names.answer
        self.mood, self.go = None, threading.Event()
        names.answer = self.answer

    def answer(self, query):
        if self.mood == "silent":
            self.go.wait(20)
        if self.mood == "another number":
            return struct.pack("!H", struct.unpack("!H", query[:2])[0] ^ 1) + self.true(query)[2:]
        if self.mood == "another question":
            honest = self.true(query)
            return honest[:12] + b"\x03bad\x07example\0" + honest[-4:] + honest[12:]
        if self.mood == "garbage":
            return b"\xff" * 7
        if self.mood == "half":
            return self.true(query)[:14]
        if self.mood == "servfail":
            return response(query, code=2)
        return self.true(query)


@pytest.fixture(scope="module")
def arena():
    arena = FaultyArena(settings="upstream_timeout_seconds = 1\n")
    yield arena
    arena.close()
    assert not arena.leftovers()


@pytest.fixture
def upstream(arena):
    moody = Moody(arena.names)
    yield moody
    moody.mood = None
    moody.go.set()
    del arena.names.answer


def status(attacker, name):
    """The response code in words; None where nothing came within dig's time, far above the guard's."""
    words = attacker.run("dig", "+tries=1", "+time=12", f"@{ONE}", name, "A", timeout=20).stdout
    return words.split("status: ")[1].split(",")[0] if "status: " in words else None


@pytest.mark.parametrize("mood", ["silent", "another number", "another question", "garbage", "half", "servfail"])
def test_names_fail_closed_and_in_time_and_come_back(arena, attacker, upstream, mood):
    # All sandboxes share what is known: each time another name.
    name = mood.replace(" ", "-") + ".example"
    arena.names.add(name, THREE)
    one = attacker(deny_but("one.example", name))
    assert one.asks("one.example") == [ONE]
    upstream.mood = mood
    assert status(one, name) == "SERVFAIL"
    # What is denied needs no upstream, what was learned neither.
    assert status(one, "two.example") == "NXDOMAIN"
    assert reaches(one, [ONE, TWO, THREE]) == {ONE}
    assert one.asks("one.example") == [ONE]
    upstream.mood = None
    upstream.go.set()
    eventually(lambda: one.asks(name) == [THREE], within=20, what="the answer")
    assert reaches(one, [ONE, TWO, THREE]) == {ONE, THREE}


def test_an_answer_that_comes_too_late_opens_nothing(arena, attacker, upstream):
    arena.names.add("slow.example", THREE)
    one = attacker(deny_but("slow.example"))
    upstream.mood = "silent"
    assert status(one, "slow.example") == "SERVFAIL"
    upstream.mood = None
    upstream.go.set()
    # The late answers of all tries are on their way before this one is asked for.
    assert status(one, "two.example") == "NXDOMAIN"
    assert reaches(one, [THREE]) == set()
    eventually(lambda: one.asks("slow.example") == [THREE], within=20, what="the answer")
    assert reaches(one, [THREE]) == {THREE}


def test_one_sandbox_that_waits_lets_others_ask(arena, attacker, upstream):
    one, other = attacker(deny_but("slow.example")), attacker(deny_but("one.example"))
    assert other.asks("one.example") == [ONE]
    upstream.mood = "silent"
    waiting = [one.start("dig", "+tries=1", "+time=12", f"@{ONE}", f"n{number}.slow.example") for number in range(20)]
    assert other.asks("one.example") == [ONE]
    for process in waiting:
        process.wait(timeout=20)
