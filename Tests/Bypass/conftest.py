import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import pytest  # noqa: E402
from arena import TWO, TWO_V6, Arena  # noqa: E402


@pytest.fixture(scope="session")
def arena():
    yield from guarding(Arena())


@pytest.fixture(scope="module")
def checking():
    """An arena whose guard checks what connections name."""
    yield from guarding(Arena("dns+nft+sni"))


class ClosingArena(Arena):
    settings = f'block_dot = true\nblock_doh = ["known", "doh.example", "{TWO}", "{TWO_V6}"]'


@pytest.fixture(scope="module")
def closing():
    """An arena whose guard closes the roads to other resolvers."""
    yield from guarding(ClosingArena())


def guarding(arena):
    try:
        yield arena
        ended = arena.guard.poll()
        words = (arena.folder / "log").read_text(errors="replace")[-3000:]
    finally:
        arena.close()
    assert ended is None, f"the guard ended with {ended}:\n{words}"
    assert not arena.leftovers(), "namespaces are left behind"
