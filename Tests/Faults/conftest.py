import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "Bypass")]

import pytest  # noqa: E402
from guards import FaultyArena, Sidecar, build_shim  # noqa: E402


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def guard():
    """Starts arenas whose guard may be killed: `guard(disk=…, environment=…)`; nothing is left of them afterwards."""
    made = []

    def guard(**options):
        made.append(FaultyArena(**options))
        return made[-1]

    yield guard
    for arena in made:
        words = (arena.folder / "log").read_text(errors="replace")
        arena.close()
        assert not arena.leftovers(), "namespaces are left behind"
        assert "crashed" not in words and "Fatal error" not in words, words[-3000:]


@pytest.fixture
def sidecar(guard):
    """Starts an arena and `sallyport-egress` in a namespace of it."""
    made = []

    def sidecar(**options):
        made.append(Sidecar(guard(), **options))
        return made[-1]

    yield sidecar
    for one in made:
        one.close()
