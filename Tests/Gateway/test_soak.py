"""I7: addresses are used again all the time, and no request ever reaches another sandbox than the one it names."""

import pytest
from soak import CLIENTS, Soak
from support.server import AllInOneServer
from support.length import times
from support.waiting import eventually

SECONDS = times(20)


@pytest.fixture(params=[(), ("--single-process",)], ids=["three-processes", "one-process"])
def own_server(world, request):
    server = AllInOneServer(world, prefix=28)
    server.words = request.param
    try:
        yield server.start()
    finally:
        server.tear_down()


def test_no_request_is_misrouted_while_sandboxes_come_and_go(own_server):
    soak = Soak(own_server, SECONDS)
    samples = []
    try:
        soak.run(every=4, report=lambda usage, _: samples.append(usage))
        assert not soak.problems, soak.problems[:10]
        assert soak.count[200] > 1000 and soak.count["recycled"] > 10 and soak.count["restarts"] > 10, soak.count
        # That is what the test is about.
        assert sum(soak.hosts.values()) > len(soak.hosts), "no address was used twice"
        for mode in samples[0]:
            # One connection of each client, and one behind it to each sandbox; the server has its sandboxes' own.
            first, last = samples[1][mode], samples[-1][mode]
            assert last[0] < first[0] + 4 * CLIENTS, samples
            assert last[1] < first[1] + (32 << 20), samples
        eventually(lambda: all(n < samples[0][m][0] + CLIENTS for m, (n, _) in soak.usage().items()), within=15, what="unused connections' end")
    finally:
        soak.close()
