"""What tests are given: the outside, a server, and sandboxes in it."""

import os
import pathlib
import subprocess
import sys

import pytest

from . import authorities
from .installed import InstalledServer
from .machine import FIRST
from .registry import Registry
from .server import BINARY, OCI_RUNTIME, ROOT, AllInOneServer
from .waiting import patient
from .world import World

authorities.share()


# What the shared server's sandboxes are: `local`; `docker`, containers of an engine that this machine's guard guards, and whose
# base image is that of the local one; `docker-sidecar`, those that have a guard beside them. The last one gives this machine a
# bridge and a firewall, so it is for a network namespace of its own.
KIND = os.environ.get("SALLYPORT_RUNTIME", "local")


@pytest.fixture(scope="session")
def world():
    world = World(far=KIND == "docker-sidecar")
    try:
        yield world
    finally:
        world.close()
    assert not world.is_there(), "the outside is left behind"


@pytest.fixture(scope="session")
def runtime_options(tmp_path_factory):
    """What says in the configuration which runtime the shared server has."""
    if KIND == "local":
        yield {}
        return
    tests = pathlib.Path(__file__).parents[2]
    sys.path[:0] = [str(tests / "Docker"), str(tests / "Bypass")]
    from plain_engine import BridgedEngine, PlainEngine

    engine = {"docker": PlainEngine, "docker-sidecar": BridgedEngine}[KIND](tmp_path_factory.mktemp("engine"))
    try:
        yield engine.prepare().options
    finally:
        engine.close()


@pytest.fixture(scope="session")
def server(world, runtime_options):
    """The server that tests share; when all are through, nothing of it may be left."""
    server = AllInOneServer(world, **runtime_options)
    try:
        yield server.start()
    finally:
        server.tear_down()


@pytest.fixture(scope="module", params=[OCI_RUNTIME] if OCI_RUNTIME else ["crun", "runc"])
def either_runtime(request, world):
    """A server for each of the programs that make containers; `name` says which."""
    server = AllInOneServer(world, local={"oci_runtime": f'"{request.param}"'})
    server.name = request.param
    try:
        yield server.start()
    finally:
        server.tear_down()


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The Debian package of the programs that are tested."""
    subprocess.run(["scripts/install-deps.sh", "package"], cwd=ROOT, check=True, timeout=300)
    done = subprocess.run(["scripts/deb.sh", str(tmp_path_factory.mktemp("package"))], cwd=ROOT, capture_output=True, text=True,
                          timeout=patient(300), env={**os.environ, "SALLYPORT_BINARY": str(BINARY), "VERSION": FIRST})
    assert done.returncode == 0, done.stderr
    return pathlib.Path(done.stdout.strip())


@pytest.fixture
def installed(world, package, tmp_path_factory, tmp_path):
    """Makes the package's server on a machine that has nothing else; `tmp_path` is a folder there, too."""
    made = []

    def installed(**settings):
        made.append(InstalledServer(tmp_path_factory.mktemp("machine"), package, world, (tmp_path,), **settings))
        return made[-1].start()

    yield installed
    for server in made:
        server.tear_down()


@pytest.fixture(scope="module")
def registry():
    """A registry with a password, and nothing in it."""
    registry = Registry()
    try:
        yield registry
    finally:
        registry.close()


@pytest.fixture
def own_server(world):
    """A server for one test, which may kill it."""
    server = AllInOneServer(world)
    try:
        yield server.start()
    finally:
        server.tear_down()


@pytest.fixture(autouse=True)
def lives(request):
    """A test that ends the server it shares, or one of its processes, fails, and the next one finds a new server."""
    is_shared = "server" in request.fixturenames
    shared = request.getfixturevalue("server") if is_shared else None
    before = shared.ends() if is_shared else 0
    yield
    if not is_shared:
        return
    if shared.process.poll() is not None:
        code, why = shared.process.returncode, shared.last_words()
        shared.start()
        pytest.fail(f"the server ended with {code}:\n{why}")
    if shared.ends() > before:
        pytest.fail(f"a process of the server has ended:\n{shared.last_words()}")


@pytest.fixture
def api(server):
    with server.api as client:
        yield client


@pytest.fixture
def create(server):
    """Creates sandboxes that end with the test."""
    made = []

    def create(**options):
        made.append(server.create(**options))
        return made[-1]

    yield create
    if server.process.poll() is None:
        with server.api as client:
            for sandbox in made:
                client.delete(f"/v1/sandboxes/{sandbox.id}")
    for sandbox in made:
        sandbox.close()


@pytest.fixture
def sandbox(create, request):
    """A sandbox without a policy: each test's own, or, as a container, that of a module which says `SHARES_A_CONTAINER`. What execd does in
    it is the same wherever it runs, and each container takes its time.
    """
    if KIND != "local" and getattr(request.module, "SHARES_A_CONTAINER", False):
        return request.getfixturevalue("modules_sandbox")
    return create()


@pytest.fixture(scope="module")
def modules_sandbox(server):
    sandbox = server.create(timeout=None)
    yield sandbox
    sandbox.kill()
    sandbox.close()


@pytest.fixture
def attacker(arena):
    """Makes attackers of the tests' arena that end with the test: `attacker(policy)`; `attacker(guarded=False)` for the
    control.
    """
    made = []

    def attacker(policy=None, guarded=True):
        made.append(arena.attacker(policy, guarded))
        return made[-1]

    yield attacker
    for one in made:
        one.close()
