"""The conformance suite's own tests, unchanged, with containers of an engine in the place of local sandboxes."""

import os
import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).parents[1]
CHOSEN = ["test_commands.py", "test_files.py", "test_server_proxy.py", "test_egress.py", "test_registry.py", "test_lifecycle.py",
          "test_pools.py"]
# These look at files of the local runtime.
LOCAL = ["pausing_stops_processes"]


def test_what_holds_for_local_sandboxes_holds_for_containers():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", TESTS / "Conformance/pytest.ini", "--rootdir", TESTS, "-p", "no:cacheprovider",
         "-q", "-k", " and ".join(f"not {name}" for name in LOCAL), *(TESTS / "Conformance" / name for name in CHOSEN)],
        env=os.environ | {"SALLYPORT_RUNTIME": "docker"}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
