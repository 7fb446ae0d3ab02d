"""A server with a Docker engine on the machine itself, and what its tests do with both."""

import json

import pytest
from plain_engine import PlainEngine
from support.server import BASE_IMAGE, IMAGE, SLEEP, AllInOneServer
from support.waiting import eventually


@pytest.fixture(scope="module")
def plain_engine(tmp_path_factory):
    engine = PlainEngine(tmp_path_factory.mktemp("plain"))
    try:
        engine.load(IMAGE, BASE_IMAGE)
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module")
def server(world, plain_engine, request):
    """With what a module's `TABLES` adds to its configuration, given the engine's folder, and fixtures of the module by their names."""
    tables = getattr(request.module, "TABLES", "")
    told = {name: request.getfixturevalue(name) for name in ("collector", "storage") if f"{{{name}" in tables}
    server = AllInOneServer(world, tables=plain_engine.tables + tables.format(folder=plain_engine.folder, **told))
    try:
        yield server.start(OTEL_BSP_SCHEDULE_DELAY="100")
    finally:
        server.tear_down()


@pytest.fixture
def engine(plain_engine):
    """Whatever a test makes in the engine is gone behind it; execd's own volume is there from the first create on."""
    before = plain_engine.inventory()
    yield plain_engine
    try:
        eventually(lambda: not plain_engine.left(before))
    except AssertionError:
        raise AssertionError(f"left in the engine: {plain_engine.left(before)}") from None


def container(engine, sandbox):
    return json.loads(engine.run("inspect", f"sandbox-{sandbox.id}").stdout)[0]


def run(sandbox, command):
    done = sandbox.commands.run(command)
    return "".join(part.text for part in done.logs.stdout).strip()


def reaches(sandbox, url):
    return "outside" in run(sandbox, f"curl --silent --max-time 3 {url} || true")


def body(**more):
    return {"image": {"uri": IMAGE}, "entrypoint": SLEEP, "timeout": 600,
            "resourceLimits": {"cpu": "1", "memory": "256Mi"}, **more}
