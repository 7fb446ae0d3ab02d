"""I4: whatever the gateway forwards, h11, nginx and haproxy take for the same requests.

Nothing is expected of what is refused here: the corpus's own tests do. A peer may refuse what it does not like (nginx has
no TRACE, and no path that leaves the root), but never read another request than the others.
"""

import asyncio
import re

import peers
import pytest
from corpus.malformed import MALFORMED
from corpus.valid import VALID
from mutations import mutations
from recorder import Reading
from support.length import times

COUNT = times(6000)
WORKERS = 12
# How long a silent gateway is believed to wait for more of a request.
SILENCE = 0.4
SEED = 20261121
# Each request's own, by which no two runs of bytes would be the same.
MADE_ID = re.compile(rb"(?m)^x-request-id: [0-9a-f]{32}\r\n")


class Seen:
    """One message of the corpus: what came back, and what each connection to the recorder had."""

    def __init__(self, raw, came, ended, connections):
        self.raw, self.came, self.ended = raw, came, ended
        self.connections = [MADE_ID.sub(b"", connection.bytes) for connection in connections if connection.bytes]
        self.complete = sum(request.complete for connection in connections for request in connection.reading.requests)
        self.errors = [connection.reading.error for connection in connections if connection.reading.error]


async def send(address, data):
    reader, writer = await asyncio.open_connection(*address)
    came = b""
    try:
        writer.write(data)
        while True:
            try:
                piece = await asyncio.wait_for(reader.read(65536), SILENCE)
            except TimeoutError:
                return came, False
            except OSError:
                return came, True
            if not piece:
                return came, True
            came += piece
    finally:
        writer.transport.abort()


def run(doors, messages):
    """Sends each message with a plain request behind it, and returns what was seen."""
    messages = iter(messages)
    seen = []

    async def work(number):
        recorder = doors.recorder(number)
        label = (doors.sandbox.id.encode(), str(recorder.port).encode())
        for entry in messages:
            raw = entry.bytes(*label)
            await asyncio.to_thread(recorder.forget)
            came, ended = await send(doors.address_of(entry.mode), raw + doors.plain(entry.mode, b"/behind", number))
            seen.append(Seen(raw, came, ended, list(recorder.connections)))

    async def all_of_them():
        await asyncio.gather(*(work(number) for number in range(WORKERS)))

    for number in range(WORKERS):
        doors.recorder(number).forget()
    for mode in ("uri", "wildcard"):
        doors.address_of(mode)
    asyncio.run(all_of_them())
    return seen


class Mutated:
    def __init__(self, mode, raw):
        self.mode, self.raw = mode, raw

    bytes = MALFORMED[0].__class__.bytes


@pytest.fixture(scope="module")
def forwarded(doors):
    """Every distinct run of bytes that a backend got on one connection, of the corpus and of what chance made of it."""
    corpus = MALFORMED + VALID
    # Mostly of valid ones: what comes of the others is seldom forwarded.
    seen = run(doors, corpus + [Mutated(*made) for made in mutations(MALFORMED + 10 * VALID, COUNT, SEED)])
    assert len(seen) == len(corpus) + COUNT
    for one in seen:
        assert not one.errors, f"h11 refuses what was made of {one.raw!r}: {one.connections} {one.errors}"
        if one.ended:
            # HEAD's answers have no body, and a last answer may be one to nobody.
            good = one.came.count(b"HTTP/1.1 200 OK") + one.came.count(b"HTTP/1.0 200 OK")
            assert one.complete <= good, f"more requests than answers of {one.raw!r}: {one.connections}"
    assert sum(one.ended for one in seen) > 0.7 * len(seen)
    return {data for one in seen for data in one.connections}


def requests_of(data):
    """What h11 takes it for, and whether nothing is missing at its end."""
    reading = Reading()
    reading.feed(data)
    assert not reading.error, (data, reading.error)
    return [request for request in reading.requests if request.complete], all(r.complete for r in reading.requests)


def meaning(request):
    return request.method, request.target, request.values(b"host"), request.body


def test_enough_is_forwarded_to_compare(forwarded):
    assert len(forwarded) > 500
    assert sum(len(requests_of(data)[0]) for data in forwarded) > 500


@pytest.mark.parametrize("start", [peers.nginx, peers.haproxy], ids=["nginx", "haproxy"])
def test_a_peer_reads_the_same_requests(forwarded, start):
    peer = start()
    refused = 0
    try:
        for data in sorted(forwarded):
            expected, whole = requests_of(data)
            found, refusals = peer.read(data, whole)
            sentinels = [request for request in found if request.target == b"/sentinel"]
            found = [meaning(request) for request in found if request not in sentinels]
            expected = [meaning(request) for request in expected]
            if refusals:
                refused += 1
                # What came in front of it was read the same.
                assert found == [one for one in expected if one in found], data
            else:
                assert found == expected and len(sentinels) == whole, (data, whole)
    finally:
        peer.close()
    assert refused < 0.3 * len(forwarded), f"{refused} of {len(forwarded)} refused: too few to compare"
