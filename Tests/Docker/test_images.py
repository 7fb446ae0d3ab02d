"""Our images as scripts/images.sh makes them, without a registry (docs/images.md), and the files that start them."""

import json
import os
import pathlib
import re
import subprocess

import pytest
from support.inside import exit_code, say
from support.server import AllInOneServer
from support.waiting import eventually

ROOT = pathlib.Path(__file__).parents[2]
PROGRAMS = {"execd": "/execd", "egress": "/usr/bin/sallyport-egress", "ingress": "/usr/bin/sallyport-ingress",
            "server": "/usr/bin/sallyport"}
VERSION = re.search(r'version = "([\d.]+)"', (ROOT / "Sources/System/Text/Release.swift").read_text())[1]


@pytest.fixture(scope="module")
def made(engine):
    """The sizes that were printed, by image."""
    lines = [line.split() for line in engine.make("server", "ingress").splitlines() if line.endswith("MB")]
    return {line[0].removeprefix("sallyport/"): float(line[1]) for line in lines}


def inspected(engine, name):
    return json.loads(engine.run("image", "inspect", f"sallyport/{name}").stdout)[0]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_of_an_image_runs_in_it(engine, made, name):
    done = engine.run("run", "--rm", "--entrypoint", PROGRAMS[name], f"sallyport/{name}", "--version")
    assert VERSION in done.stdout


@pytest.mark.parametrize("name", ["egress", "ingress", "server"])
def test_what_is_loaded_when_the_first_request_leaves_is_there_whole(engine, made, name):
    """The program that starts others lists what a library needs; a missing one is an error."""
    listed = engine.run("run", "--rm", "--entrypoint", "/lib64/ld-linux-x86-64.so.2", f"sallyport/{name}", "--list",
                        "/usr/lib/x86_64-linux-gnu/libcurl.so.4").stdout
    assert "libssl.so.3 => /" in listed and "not found" not in listed


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_image_says_what_it_is_and_has_no_more_rights_than_it_needs(engine, made, name):
    config = inspected(engine, name)["Config"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == f"sallyport/{name}"
    assert labels["org.opencontainers.image.version"] == VERSION
    assert (config["User"] == "65534:65534") == (name == "ingress")
    assert ("Healthcheck" in config) == (name != "execd")
    assert not any(variable.split("=")[0].endswith(("TOKEN", "KEY", "SECRET")) for variable in config["Env"])


def test_images_hold_no_package_manager_and_few_megabytes(engine, made):
    assert made["server"] < 260 and made["ingress"] < 100, made
    sizes = {name: inspected(engine, name)["Size"] / 1e6 for name in ("execd", "egress")}
    assert sizes["execd"] < 30 and sizes["egress"] < 60, sizes
    programs = engine.run("run", "--rm", "--entrypoint", "/usr/bin/ls", "sallyport/server", "/usr/bin").stdout.split()
    assert "ls" in programs and not {"dpkg", "apt", "apt-get", "apk"} & set(programs), programs


@pytest.mark.parametrize("name", ["execd", "egress", "ingress", "server", "code-interpreter"])
def test_a_dockerfile_ends_in_a_stage_that_needs_no_builder(name):
    """What scripts/images.sh does with the last stage is all that is in it."""
    stage = (ROOT / f"deploy/{name}/Dockerfile").read_text().replace("\\\n", "").split("\nFROM ")[-1].splitlines()
    assert stage[0] == "scratch" and stage[1] == "COPY --from=build /root-of-image /", stage[:2]
    known = ("LABEL ", "ENV ", "USER ", "EXPOSE ", "VOLUME ", "WORKDIR ", "HEALTHCHECK ", "ENTRYPOINT ", "CMD ")
    assert all(line.startswith(known) for line in stage[2:]), stage


def built(engine, *words, text):
    return subprocess.run(
        ["docker", "--host", engine.address, "build", *words, "-"], input=text, text=True, capture_output=True, timeout=300,
        env=os.environ | {"DOCKER_BUILDKIT": "0"})


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_classic_builder_reads_a_dockerfile_and_makes_the_same_settings_of_its_last_stage(engine, made, name):
    """The first stages need a registry and Debian's packages; what they end with is deploy/image-root.sh, as here."""
    text = (ROOT / f"deploy/{name}/Dockerfile").read_text()
    done = built(engine, "--target", "no-such-stage", text=text)
    assert done.returncode and "failed to reach build target no-such-stage" in done.stderr, done.stdout + done.stderr
    first = "FROM base AS build\nRUN mkdir /root-of-image && echo kept >/root-of-image/file\nFROM "
    done = built(engine, "--quiet", "--tag", f"last-stage-{name}", text=first + text.split("\nFROM ")[-1])
    assert not done.returncode, done.stdout + done.stderr
    one, other = (json.loads(engine.run("image", "inspect", tag).stdout)[0]["Config"]
                  for tag in (f"last-stage-{name}", f"sallyport/{name}"))
    keys = ["Env", "Labels", "User", "ExposedPorts", "Volumes", "WorkingDir", "Healthcheck", "Entrypoint", "Cmd"]
    assert {key: one.get(key) or None for key in keys} == {key: other.get(key) or None for key in keys}


def health(engine, name):
    return engine.inspect(name, "{{.State.Health.Status}}")


def test_a_sidecar_tells_that_it_guards(containers):
    containers.guard("--health-interval", "1s")
    eventually(lambda: health(containers, "guard") == "healthy", what="its health")
    other = containers.run("run", "--rm", "--cap-add", "NET_ADMIN", "sallyport/egress", "--running", check=False)
    assert other.returncode == 1 and "no guard runs" in other.stderr


def test_a_gateway_without_a_directory_is_not_healthy(containers, made, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x" * 43)
    secret.chmod(0o600)
    os.chown(secret, 65534, 65534)
    containers.start("gateway", "--volume", f"{secret}:/secret:ro", "--health-interval", "1s", "--health-retries", "1",
                     image="sallyport/ingress", command=("--directory", "127.0.0.1:9", "--directory-secret-file", "/secret"))
    eventually(lambda: health(containers, "gateway") == "unhealthy" or not containers.is_running("gateway"), what="its health")
    assert containers.is_running("gateway"), containers.logs("gateway")


# What starts them

UNITS = {name: ROOT / f"deploy/systemd/{name}.service" for name in ("sallyport", "sallyport-guard", "sallyport-ingress")}


@pytest.mark.parametrize("name, most", [("sallyport", 88), ("sallyport-guard", 60), ("sallyport-ingress", 15)])
def test_a_unit_is_understood_and_exposes_no_more_than_it_must(name, most, tmp_path):
    """In tenths, as systemd counts; the server makes containers, and shares its mounts with the next."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / f"{name}.service"
    unit.write_text(re.sub(r"/usr/bin/sallyport[\w-]*", str(program), UNITS[name].read_text()))
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert verified.returncode == 0 and name not in verified.stderr, verified.stderr
    judged = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={most}", unit],
                            capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout[-300:]


def test_the_rights_of_the_unit_are_enough_for_a_server(world):
    text = UNITS["sallyport"].read_text()
    names = [word.removeprefix("CAP_").lower() for line in re.findall(r"^CapabilityBoundingSet=(.*)$", text, re.M)
             for word in line.split()]
    assert "sys_module" not in names and len(names) < 25
    server = AllInOneServer(world)
    bounds = ",".join(["-all", *(f"+{name}" for name in names)])
    launch = server.launch
    server.launch = lambda **more: launch(through=("setpriv", f"--bounding-set={bounds}"), **more)
    try:
        server.start()
        sandbox = server.create(resource={"cpu": "1", "memory": "256Mi", "disk": "64Mi"})
        assert say(sandbox, "echo works; id -u").split() == ["works", "0"]
        assert exit_code(sandbox, "cp /bin/true /tmp/t && chmod 4755 /tmp/t && chown 1000 /tmp/t") == 0
    finally:
        server.tear_down()
