"""Accesses through a gateway in a process of its own prolong sandboxes, through a real redis-server (OSEP-0009)."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime

import pytest
from support.server import AllInOneServer, free_port
from support.inside import ECHO_SERVER, start_server
from support.waiting import eventually

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from ingress_program import IngressProgram  # noqa: E402

EXTENSION = {"access.renew.extend.seconds": "7200"}


@pytest.fixture
def redis():
    """The address of a redis-server of the test's own; it has a password and keeps nothing."""
    folder, port = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-redis-")), free_port()
    (folder / "redis.conf").write_text(f'port {port}\nbind 127.0.0.1\ndir {folder}\nsave ""\nrequirepass hush\n')
    process = subprocess.Popen(
        ["redis-server", str(folder / "redis.conf")], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://:hush@127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def renewing(world, redis):
    """A server that hears from Redis what is used, at most every second."""
    server = AllInOneServer(world)
    with open(server.config, "a") as config:
        config.write(f"""
[renew_intent]
enabled = true
min_interval_seconds = 1
redis.enabled = true
redis.dsn = "{redis}"
redis.consumer_concurrency = 2
""")
    try:
        yield server.start()
    finally:
        server.tear_down()


def end_of(server, sandbox):
    with server.api as api:
        return datetime.fromisoformat(api.get(f"/v1/sandboxes/{sandbox.id}").json()["expiresAt"].replace("Z", "+00:00"))


def test_an_access_prolongs_and_skip_does_not(renewing, redis):
    sandbox, plain = renewing.create(extensions=EXTENSION), renewing.create()
    for one in (sandbox, plain):
        start_server(one, ECHO_SERVER)
    gateway = IngressProgram(
        renewing, "--renew-intent-enabled=true", "--renew-intent-redis-dsn", redis, "--renew-intent-min-interval", "1",
        "--renew-intent-queue-max-len", "100")
    try:
        eventually(gateway.is_ready, what="the directory's state")
        # Starting the servers went through the embedded gateway and has prolonged already: only later is told from it.
        time.sleep(1.5)
        first, plain_end = end_of(renewing, sandbox), end_of(renewing, plain)
        headers, others = ({"OpenSandbox-Ingress-To": f"{one.id}-8000"} for one in (sandbox, plain))
        assert gateway.get({**headers, "OpenSandbox-Access-Renew": "skip"}).status_code == 200
        assert gateway.get(others).status_code == 200
        time.sleep(0.5)
        assert end_of(renewing, sandbox) == first
        assert gateway.get(headers).status_code == 200
        eventually(lambda: end_of(renewing, sandbox) > first, what="the renewal")
        assert end_of(renewing, plain) == plain_end
        for log in (gateway.log, renewing.log):
            assert "hush" not in log.read_text()
    finally:
        gateway.stop()


def test_a_gateway_without_redis_serves_all_the_same(renewing):
    sandbox = renewing.create(extensions=EXTENSION)
    start_server(sandbox, ECHO_SERVER)
    gateway = IngressProgram(
        renewing, "--renew-intent-enabled", "--renew-intent-redis-dsn", f"redis://127.0.0.1:{free_port()}/0",
        "--renew-intent-min-interval", "0")
    try:
        eventually(gateway.is_ready, what="the directory's state")
        for _ in range(50):
            assert gateway.get({"OpenSandbox-Ingress-To": f"{sandbox.id}-8000"}).status_code == 200
    finally:
        gateway.stop()
