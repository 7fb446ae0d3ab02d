import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "Tests/Bypass"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import pytest  # noqa: E402
from engine import BASE, Engine  # noqa: E402
from reference import ReferenceServer  # noqa: E402


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """A Docker engine with `base`, `sallyport/execd` and `sallyport/egress`, all made without a registry."""
    engine = Engine(tmp_path_factory.mktemp("engine"))
    try:
        engine.load("base", BASE)
        engine.make("execd", "egress")
        yield engine
    finally:
        engine.close()


@pytest.fixture
def containers(engine):
    """Starts containers that end with the test."""
    yield engine
    engine.remove_all()


@pytest.fixture(scope="session")
def reference(engine, tmp_path_factory):
    """The reference's server with our images. Nothing of its sandboxes may be left when all are deleted."""
    before = engine.things()
    server = ReferenceServer(engine, tmp_path_factory.mktemp("reference"))
    try:
        yield server.start()
        server.delete_all()
    finally:
        server.stop()
    # The volumes of execd stay with servers of ours on the same engine.
    assert {thing for thing in engine.things() if not thing.startswith("sallyport-execd-")} <= before
