"""The first stages of our Dockerfiles, which need a registry, so that no test builds them: what they name is what there is."""

import fnmatch
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.parent.name for path in ROOT.glob("deploy/*/Dockerfile"))
# What scripts/install-deps.sh installs for a purpose.
PURPOSES = {
    purpose: set(re.search(rf"^{variable}=\(([^)]*)\)", (ROOT / "scripts/install-deps.sh").read_text(), re.M)[1].split())
    for purpose, variable in (("build", "packages"), ("run", "run"))}


def first_stage(name):
    """Its instructions, a line each."""
    text = (ROOT / f"deploy/{name}/Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.split("\nFROM scratch")[0].splitlines() if not line.startswith("#")]
    return [re.sub(r"^RUN --security=insecure ", "RUN ", line) for line in lines]


def commands(name):
    """What its last instruction runs, as lists of words."""
    return [command.split() for command in first_stage(name)[-1].removeprefix("RUN ").split(" && ")]


def packages(name):
    [line] = [line for line in first_stage(name) if "apt-get install" in line]
    words = line.split("apt-get install")[1].split("&&")[0].split()
    return {word for word in words if not word.startswith("-")}


@pytest.fixture(scope="module")
def toolchain():
    """Major and minor version of the one at hand; None where there is none."""
    if not shutil.which("swift"):
        return None
    told = subprocess.run(["swift", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"Swift version (\d+\.\d+)", told)[1]


@pytest.mark.parametrize("name", NAMES)
def test_it_begins_with_what_everything_is_built_with_here(name, toolchain):
    image = re.fullmatch(r"FROM (\w+):([\w.-]+) AS build", first_stage(name)[0])
    if image[1] == "debian":
        assert image[2] == "bookworm"
        return
    version, _, release = image[2].partition("-")
    assert (image[1], release) == ("swift", "bookworm")
    assert f"Swift {version} for Debian 12" in (ROOT / "README.md").read_text()
    assert toolchain in (None, version)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_runs_is_there(name):
    for program, *words in commands(name):
        if program == "make":
            done = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
        else:
            assert (ROOT / program).stat().st_mode & 0o111, f"{program} is no program"
    [*_, script] = commands(name)
    if script[0] == "./deploy/image-root.sh":
        assert script[1] == name and re.search(rf"^    {name}\)$", (ROOT / script[0]).read_text(), re.M)
    assert script[-1] == "/root-of-image", "the last stage copies it"


def test_no_file_that_a_build_reads_is_kept_from_the_builder():
    ignored = (ROOT / ".dockerignore").read_text().split()
    for file in ("Package.swift", "Makefile", "Sources", "Tests", "Benchmarks", "scripts", "deploy", "policies", "specs"):
        assert (ROOT / file).exists() and not any(fnmatch.fnmatch(file, pattern) for pattern in ignored)
    assert any(fnmatch.fnmatch(".build", pattern) for pattern in ignored), "gigabytes, and programs of another machine"


@pytest.mark.parametrize("name", NAMES)
def test_it_has_the_packages_that_are_needed_and_debian_has_them(name):
    wanted = set(PURPOSES["build"])
    called = {command[0] for command in commands(name)}
    if called & {"./scripts/api-pages.sh", "./scripts/code-image.sh"}:
        wanted |= PURPOSES["run"] | {"python3-venv"}
    if "make" in called:
        wanted.add("make")
    assert wanted <= packages(name), "what is missing would be fetched in a later step, by whoever calls install-deps.sh"
    # `make test` installs every one of them.
    known = subprocess.run(["dpkg-query", "--show", "--showformat=${Package}\n", *packages(name)], capture_output=True, text=True)
    assert set(known.stdout.split()) == packages(name), known.stderr


@pytest.mark.parametrize("name", [name for name in NAMES if name != "code-interpreter"])
def test_it_has_the_packages_of_what_is_copied_into_the_image(name):
    case = re.search(rf"^    {name}\)$(.*?);;", (ROOT / "deploy/image-root.sh").read_text(), re.M | re.S)[1]
    listed = re.search(r"for name in (.*?); do tool", case)
    programs = (listed[1].split() if listed else []) + (["busybox"] if "\n        busybox\n" in case else [])
    for program in programs:
        # Debian's folders of programs are one since Debian 12, and its packages may still name the other.
        path = Path(shutil.which(program)).resolve()
        owners = subprocess.run(["dpkg-query", "--search", f"*bin/{path.name}"], capture_output=True, text=True).stdout
        owner = {line.split(":")[0] for line in owners.splitlines() if line.endswith((f"/bin/{path.name}", f"/sbin/{path.name}"))}
        assert owner & packages(name), f"{program} is of {owner}"
    if "\n        requests\n" in case:
        assert "ca-certificates" in packages(name)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_has_the_version_of_its_programs(name):
    version = re.search(r'version = "([\d.]+)"', (ROOT / "Sources/System/Text/Release.swift").read_text())[1]
    assert f'org.opencontainers.image.version="{version}"' in (ROOT / f"deploy/{name}/Dockerfile").read_text()
