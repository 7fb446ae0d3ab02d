"""What the Makefile and install-deps.sh do, with programs in the place of swift, dpkg and id that only write down their calls."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ["sallyport", "sallyport-ingress", "sallyport-egress", "execd"]


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/bash\n" + text)
    path.chmod(0o755)


class Tree:
    """A copy of the Makefile over one source, where every program that it calls writes a line into `calls`."""

    def __init__(self, folder: Path):
        self.folder = folder
        shutil.copy(ROOT / "Makefile", folder)
        (folder / "Package.swift").touch()
        self.source = folder / "Sources/Guard/Guard.swift"
        self.source.parent.mkdir(parents=True)
        self.source.touch()
        program(
            folder / "bin/swift",
            'echo "swift $*" >>calls\n'
            'product=${*#*--product }; case "$*" in *--product*) ;; *) product="'
            + " ".join(PROGRAMS) + '" ;; esac\n'
            'for name in $product; do to=.build/release/$name\n'
            'mkdir -p .build/release; printf "#!/bin/bash\\necho serve >>calls\\n" >$to; chmod +x $to; done\n',
        )
        program(folder / "scripts/static-libraries.sh", 'mkdir -p "$1"\n')
        program(folder / "scripts/install-deps.sh", 'echo "install-deps $1" >>calls\n')
        program(folder / "scripts/base-image.sh", 'echo "base-image" >>calls\n')
        program(folder / "scripts/api-pages.sh", 'echo "api-pages $1" >>calls\n')
        # All of it is from yesterday: what a build makes is newer.
        yesterday = time.time() - 86400
        (folder / "scripts/execd.ld").touch()
        for path in [folder / "Package.swift", folder / "scripts/execd.ld", self.source, *self.source.parents[:2], *folder.glob("bin/*")]:
            os.utime(path, (yesterday, yesterday))

    def make(self, *arguments: str) -> list[str]:
        calls = self.folder / "calls"
        calls.write_text("")
        environment = os.environ | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "MAKEFLAGS": ""}
        subprocess.run(["make", *arguments], cwd=self.folder, env=environment, check=True, capture_output=True)
        return calls.read_text().splitlines()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def builds(calls: list[str]) -> list[str]:
    """What Swift was asked to build: the name of a program, or `all`."""
    asked = [re.search(r"--product (\S+)", call) for call in calls if call.startswith("swift build")]
    return [found[1] if found else "all" for found in asked]


def test_a_second_make_run_asks_swift_nothing(tree: Tree):
    assert builds(tree.make("run")) == ["all"]
    again = tree.make("run")
    assert builds(again) == []
    assert again[-1] == "serve"
    assert builds(tree.make("execd", "egress", "ingress")) == []


def test_one_program_is_built_alone(tree: Tree):
    assert builds(tree.make("execd", "egress")) == ["execd", "sallyport-egress"]
    assert builds(tree.make("execd", "egress")) == []
    assert builds(tree.make("build")) == ["all"]


def test_what_changed_is_built_again(tree: Tree):
    tree.make("run")
    tree.source.write_text("// changed\n")
    os.utime(tree.source, (time.time() + 2, time.time() + 2))
    assert builds(tree.make("run")) == ["all"]


def test_a_source_that_is_gone_is_noticed(tree: Tree):
    tree.make("run")
    tree.source.unlink()
    os.utime(tree.source.parent, (time.time() + 2, time.time() + 2))
    assert builds(tree.make("run")) == ["all"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_is_gone_is_built_again(tree: Tree, name: str):
    tree.make("run")
    (tree.folder / ".build/release" / name).unlink()
    assert builds(tree.make("run")) == ["all"]


def test_make_run_installs_what_running_needs(tree: Tree):
    installed = {call.split()[1] for call in tree.make("run") if call.startswith("install-deps")}
    assert installed == {"build", "run"}


def test_a_server_starts_without_the_pages_of_the_api(tree: Tree):
    program(tree.folder / "scripts/api-pages.sh", 'echo "api-pages $1" >>calls\nexit 1\n')
    calls = tree.make("run")
    assert "api-pages .build-pages" in calls and calls[-1] == "serve"


def missing(tmp_path: Path, purpose: str) -> set[str]:
    """What install-deps.sh would install for a purpose where nothing is installed; it says so to whoever is not root."""
    program(tmp_path / "bin/dpkg-query", "exit 1\n")
    program(tmp_path / "bin/id", "echo 1000\n")
    result = subprocess.run(
        [ROOT / "scripts/install-deps.sh", purpose], capture_output=True, text=True,
        env=os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    assert result.returncode == 1
    return set(result.stderr.split(": ")[1].split())


def test_neither_attack_tools_nor_engines_nor_web_servers_are_installed_to_run(tmp_path: Path):
    to_run, to_test = missing(tmp_path, "run"), missing(tmp_path, "test")
    others = {"iodine", "dns2tcp", "hping3", "nmap", "ptunnel-ng", "python3-scapy", "slowhttptest", "docker.io",
              "docker-registry", "nginx-light", "haproxy", "redis-server"}
    assert others <= to_test
    assert not others & to_run
    assert {"crun", "runc", "skopeo", "umoci"} <= to_run < to_test
    assert not {"crun", "runc"} & missing(tmp_path, "build")


def test_a_purpose_that_does_not_exist_installs_nothing():
    result = subprocess.run([ROOT / "scripts/install-deps.sh", "tset"], capture_output=True, text=True)
    assert result.returncode == 2
    assert "usage" in result.stderr
