"""deploy/compose.yaml, started with our images; Redis and Prometheus are this machine's, in images of those names."""

import json
import os
import pathlib
import shutil
import subprocess

import httpx
import pytest
from engine import RESOLVER, TWO
from inside import within
from opensandbox import SandboxSync
from opensandbox.config import ConnectionConfigSync
from support.inside import fetches, say
from support.server import BASE_IMAGE, IMAGE, deny_but
from support.waiting import eventually

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy"
NAME = "sallyport-test"
SERVICES = {"server", "gateway", "redis", "prometheus"}


def root_of(folder, *programs):
    """The files of an image with programs of this machine, what they load, and busybox."""
    for name in (*programs, "busybox"):
        path = shutil.which(name)
        loaded = subprocess.run(["ldd", path], capture_output=True, text=True).stdout.split()
        for source in (path, *(word for word in loaded if word.startswith("/"))):
            place = folder / source.lstrip("/")
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)
    (folder / "bin/wget").parent.mkdir(exist_ok=True)
    (folder / "bin/wget").symlink_to(shutil.which("busybox"))
    for name in ("data", "prometheus", "tmp", "etc"):
        (folder / name).mkdir(exist_ok=True)
    os.chown(folder / "prometheus", 65534, 65534)
    return folder


def compose(engine, folder, *words):
    quick = folder / "quick.yaml"
    checks = {name: {"healthcheck": {"interval": "1s"}} for name in SERVICES}
    quick.write_text(json.dumps({"services": checks}))
    done = subprocess.run(
        ["docker-compose", "--project-name", NAME, "--file", DEPLOY / "compose.yaml", "--file", quick, *words],
        capture_output=True, text=True, timeout=180, stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "DOCKER_HOST": engine.address, "DOCKER_SOCKET": engine.socket,
             "SALLYPORT_CONFIG": str(folder / "sallyport.toml"), "SALLYPORT_SECRETS": str(folder / "secrets")})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def composed(engine, tmp_path_factory):
    """The folder of its secrets, while all of it runs."""
    folder = tmp_path_factory.mktemp("compose")
    text = (DEPLOY / "compose/sallyport.toml").read_text()
    # The engine of the tests is older than 25.
    (folder / "sallyport.toml").write_text(text.replace('# upstreams = ["192.0.2.53"]', f'upstreams = ["{RESOLVER}"]'))
    subprocess.run([DEPLOY / "compose/secrets.sh", folder / "secrets"], check=True)
    engine.load(IMAGE, BASE_IMAGE)
    engine.make("server", "ingress")
    engine.load("redis:7.2", root_of(folder / "redis", "redis-server", "redis-cli"))
    engine.load(
        "prom/prometheus:v2.53.4", root_of(folder / "prom", "prometheus"), 'ENTRYPOINT ["/usr/bin/prometheus"]')
    try:
        compose(engine, folder, "up", "--detach")
        with within(engine.namespace):
            yield folder / "secrets"
    finally:
        compose(engine, folder, "down", "--volumes", "--timeout", "2")
        engine.run("volume", "prune", "--force")


def parts(engine):
    ids = engine.run("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={NAME}").stdout.split()
    found = json.loads(engine.run("inspect", *ids).stdout)
    return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}


def test_every_part_becomes_healthy_with_few_rights_and_shows_no_secret(engine, composed):
    eventually(lambda: {one["State"]["Health"]["Status"] for one in parts(engine).values()} == {"healthy"}, what="health")
    found = parts(engine)
    assert set(found) == SERVICES
    keys = {file.read_text().strip() for file in composed.iterdir()}
    assert len(keys) == 2 and not any(key in json.dumps(found) for key in keys)
    for name, one in found.items():
        host = one["HostConfig"]
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"], name
        assert host["ReadonlyRootfs"] and "no-new-privileges:true" in host["SecurityOpt"], name
        assert (one["Config"]["User"].split(":")[0] in ("", "0")) == (name == "server"), name
        assert all(bound["HostIp"] == "127.0.0.1" for bounds in host["PortBindings"].values() for bound in bounds), name


@pytest.fixture
def create(composed):
    made = []
    key = (composed / "api-key").read_text().strip()

    def create(**more):
        made.append(SandboxSync.create(
            IMAGE, connection_config=ConnectionConfigSync(domain="127.0.0.1:8080", api_key=key, disable_metrics=True),
            resource={"cpu": "1", "memory": "256Mi"}, **more))
        return made[-1]

    yield create
    for sandbox in made:
        sandbox.kill()
        sandbox.close()


def test_sandboxes_are_made_guarded_and_reached_through_the_gateway(create):
    sandbox = create(network_policy=deny_but("one.example"))
    assert fetches(sandbox, "http://one.example/") and not fetches(sandbox, f"http://{TWO}/")
    assert sandbox.get_endpoint(44772).endpoint.startswith("127.0.0.1:28888")
    assert say(sandbox, "echo through the gateway").strip() == "through the gateway"


def test_no_sandbox_reaches_the_api_the_directory_or_redis(engine, create):
    networks = {name: one["NetworkSettings"]["Networks"] for name, one in parts(engine).items()}
    mates = {name: found["sallyport-sandboxes"]["IPAddress"] for name, found in networks.items() if "sallyport-sandboxes" in found}
    assert set(mates) == {"server", "gateway"}
    redis, = (found["IPAddress"] for found in networks["redis"].values())
    shut = [f"{address}/{port}" for address in (mates["server"], "172.31.250.2") for port in (8080, 8081)] + [f"{redis}/6379"]
    # Sandboxes that it may enter, a sandbox enters by the gateway as anybody does.
    tries = " ".join([*shut, f"{mates['gateway']}/28888"])
    reached = say(create(), f"for at in {tries}; do timeout 2 bash -c \"</dev/tcp/$at && echo $at\" 2>&- & done; wait")
    assert reached.split() == [f"{mates['gateway']}/28888"]


def test_prometheus_reads_the_server(engine, composed):
    def up():
        answer = httpx.get("http://127.0.0.1:9090/api/v1/query", params={"query": 'up{job="sallyport"}'}).json()
        return [one["value"][1] for one in answer["data"]["result"]] == ["1"]

    eventually(up, what="a scrape")
