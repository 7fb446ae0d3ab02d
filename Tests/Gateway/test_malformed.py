"""I4, I6: what two parsers could read in two ways is refused, the connection ends, and nothing of it reaches a backend."""

import random

import pytest
from corpus.malformed import MALFORMED
from support.length import times
from wire import answers, exchange

BEHIND = b"/behind"


def refused(doors, entry, pieces):
    """The answers to an entry with a plain request behind it."""
    came, ended = exchange(doors.address_of(entry.mode), *pieces, doors.plain(entry.mode, BEHIND))
    assert ended, f"the gateway waits for more: {came[:200]!r}"
    return answers(came)


def test_the_corpus_is_large_and_has_no_entry_twice(doors):
    assert len(MALFORMED) >= 300
    assert len({(entry.mode, entry.raw) for entry in MALFORMED}) == len(MALFORMED)


@pytest.mark.parametrize("mode", ["header", "uri", "wildcard"])
def test_a_plain_request_passes_in_each_mode(doors, mode):
    doors.recorder().forget()
    came, ended = exchange(doors.address_of(mode), doors.plain(mode))
    assert ended and [answer.status for answer in answers(came)] == [200]
    assert [request.target for request in doors.recorder().requests] == [b"/plain"]


@pytest.mark.parametrize("entry", MALFORMED, ids=lambda entry: f"{entry.mode}: {entry.why}")
def test_it_is_refused_and_reaches_no_backend(doors, entry):
    recorder = doors.recorder()
    recorder.forget()
    found = refused(doors, entry, [doors.bytes_of(entry)])
    statuses = [answer.status for answer in found]
    assert statuses == ([entry.status] if entry.closes else [entry.status, 200])
    if entry.closes:
        assert found[0].headers.get("connection") == "close"
        assert recorder.bytes == b""
    else:
        assert [request.target for request in recorder.requests] == [BEHIND] and b"/m" not in recorder.bytes


@pytest.mark.parametrize("seed", range(times(2)))
def test_no_request_of_it_is_completed_however_it_is_cut(doors, seed):
    """Where a body is wrong behind a right head, the head may have gone; the request never ends."""
    cuts = random.Random(seed)
    for entry in MALFORMED:
        recorder = doors.recorder()
        recorder.forget()
        whole = doors.bytes_of(entry)
        places = sorted(cuts.randrange(1, len(whole)) for _ in range(3))
        pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)]) if a < b]
        statuses = [answer.status for answer in refused(doors, entry, pieces)]
        assert statuses == ([entry.status] if entry.closes else [entry.status, 200]), (entry.why, places)
        complete = [request.target for request in recorder.requests if request.complete]
        assert complete == ([] if entry.closes else [BEHIND]), (entry.why, places)
