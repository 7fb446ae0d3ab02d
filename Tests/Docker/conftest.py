import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "Tests/Bypass"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import pytest  # noqa: E402
from engine import SIDECAR, Engine  # noqa: E402

DOCKERFILE = ROOT / "deploy/egress/Dockerfile"


def runtime_stage():
    """The last stage of the Dockerfile, its packages apart."""
    stage = DOCKERFILE.read_text().replace("\\\n", " ").split("\nFROM ")[-1].splitlines()[1:]
    packages = [re.search(r"--no-install-recommends ([a-z0-9 .+-]+)", line) for line in stage]
    names = [name for found in packages if found for name in found.group(1).split()]
    return [line for line in stage if not line.startswith("RUN ")], names


@pytest.fixture(scope="session")
def packages():
    return runtime_stage()[1]


@pytest.fixture(scope="session")
def engine(tmp_path_factory, packages):
    """A Docker engine with two images: `base`, and `sallyport/egress` as the Dockerfile makes it, without a registry."""
    assert SIDECAR.exists(), f"{SIDECAR} is missing: make egress"
    root = ROOT / ".build-base/egress"
    subprocess.run([ROOT / "scripts/base-image.sh", root, *packages], check=True, timeout=600)
    engine = Engine(tmp_path_factory.mktemp("engine"))
    try:
        engine.load("base", root)
        engine.build("sallyport/egress", runtime_stage()[0], {"sallyport-egress": SIDECAR, "policies": ROOT / "policies"})
        yield engine
    finally:
        engine.close()


@pytest.fixture
def containers(engine):
    """Starts containers that end with the test."""
    yield engine
    engine.remove_all()
