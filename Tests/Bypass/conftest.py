import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(1, str(pathlib.Path(__file__).parents[1] / "Docker"))

import pytest  # noqa: E402
from arena import TWO, TWO_V6, Arena  # noqa: E402


BESIDE = os.environ.get("SALLYPORT_RUNTIME") == "docker-sidecar"


@pytest.fixture(scope="session")
def arena(request):
    """Of this machine's guard; with `SALLYPORT_RUNTIME=docker-sidecar`, of guards beside containers of an engine."""
    if BESIDE:
        yield request.getfixturevalue("sidecars")
    else:
        yield from guarding(Arena())


@pytest.fixture(scope="session")
def sidecars():
    from sidecar_arena import SidecarArena

    yield from guarding(SidecarArena())


@pytest.fixture(scope="module")
def checking():
    """An arena whose guard checks what connections name."""
    yield from guarding(Arena("dns+nft+sni"))


CLOSED = ["known", "doh.example", TWO, TWO_V6]


class ClosingArena(Arena):
    settings = f"block_dot = true\nblock_doh = {json.dumps(CLOSED)}"


@pytest.fixture(scope="module")
def closing(request):
    """An arena whose guards close the roads to other resolvers."""
    if not BESIDE:
        yield from guarding(ClosingArena())
        return
    from sidecar_arena import ClosingSidecarArena

    yield from guarding(ClosingSidecarArena(request.getfixturevalue("sidecars"), CLOSED))


def guarding(arena):
    try:
        yield arena
        ended = arena.guard.poll()
        words = pathlib.Path(arena.log).read_text(errors="replace")[-3000:]
    finally:
        arena.close()
    assert ended is None, f"the guard ended with {ended}:\n{words}"
    assert not arena.leftovers(), "namespaces are left behind"
