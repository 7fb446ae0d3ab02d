import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import pytest  # noqa: E402
from doors import Doors  # noqa: E402


@pytest.fixture(scope="session")
def doors(server):
    """A running gateway in front of a sandbox whose servers are the test's own and write down every byte."""
    doors = Doors(server)
    try:
        yield doors
    finally:
        doors.close()
