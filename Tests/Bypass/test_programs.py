"""R12: a program that is asked for help, or misspelt, touches nothing: no rule, no file, no listener, no process.

Each runs in a network namespace of its own, with empty folders where programs of ours keep things.
"""

import os
import pathlib
import re
import secrets
import subprocess

import pytest
from support.server import BINARY, EXECD
from support.waiting import eventually
from support.world import run

FOLDER = pathlib.Path(BINARY).parent
SIDECAR = os.environ.get("SALLYPORT_SIDECAR", str(FOLDER / "sallyport-egress"))
PROGRAMS = [
    *([BINARY, *words] for words in (
        [], ["serve"], ["egress"], ["ingress"], ["token"], ["token", "mint"], ["token", "verify"], ["token", "inspect"],
        ["token", "rotate"], ["init-config"])),
    [str(FOLDER / "sallyport-ingress")], [SIDECAR], [EXECD],
]
# Where programs of ours keep things, empty; then the program; then what is there.
ALONE = """
for folder in /run /var/lib /var/egress /etc/sallyport; do [ ! -d $folder ] || mount -t tmpfs none $folder; done
mkdir /run/home && cd /run/home && export HOME=/run/home TMPDIR=/run/home
%s
there() { find /run /var/lib $([ -d /var/egress ] && echo /var/egress) | sort; }
there >"$FOUND.before"
timeout 20 "$@"; code=$?
there | comm -13 "$FOUND.before" - >"$FOUND"
exit $code
"""
# What the machine's first namespace has and no other.
LIKE_THE_MACHINES = """
mount -t tmpfs none /proc/sys/net/core
touch /proc/sys/net/core/somaxconn /proc/sys/net/core/netdev_max_backlog /proc/sys/net/core/dev_weight
"""


class Place:
    """A network namespace in which nothing is."""

    def __init__(self, folder):
        self.found = folder / "found"
        ours = ("OPENSANDBOX", "OPEN_SANDBOX", "SANDBOX")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)} | {"FOUND": str(self.found)}
        self.name = f"sp{secrets.token_hex(3)}"
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")

    def command(self, words, before=""):
        return ["ip", "netns", "exec", self.name, "unshare", "--mount", "sh", "-c", ALONE % before, "sh", *words]

    def run(self, *words, before="", **variables):
        """The program's end, and the files that it left."""
        ended = subprocess.run(
            self.command(words, before), capture_output=True, text=True, stdin=subprocess.DEVNULL,
            env={**self.environment, **variables})
        return ended, self.found.read_text().split()

    def rules(self):
        return run("ip", "netns", "exec", self.name, "nft", "list", "ruleset")

    def traces(self):
        listeners = run("ip", "netns", "exec", self.name, "ss", "-Hlntux")
        return self.rules(), listeners, run("ip", "netns", "pids", self.name), run("ip", "-n", self.name, "-o", "link")

    def close(self):
        for pid in run("ip", "netns", "pids", self.name).split():
            os.kill(int(pid), 9)
        run("ip", "netns", "del", self.name)


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.close()


def words(program):
    return " ".join([pathlib.Path(program[0]).name, *program[1:]])


@pytest.mark.parametrize("program", PROGRAMS, ids=words)
def test_help_and_typos_touch_nothing(place, program):
    before = place.traces()
    assert before[0] == before[1] == before[2] == ""
    for argument in ("--help", "-h"):
        ended, files = place.run(*program, argument)
        assert ended.returncode == 0 and "usage" in ended.stdout.lower(), ended
        assert not files and place.traces() == before
    for argument in ("--hlep", "--prot=1", "-x", "hlep", "servee", "--"):
        if argument[0] != "-" and program[1:] in (["init-config"], ["token", "verify"], ["token", "inspect"]):
            continue  # a path, or a token
        if argument == "--" and program not in ([SIDECAR], [EXECD]):
            continue  # what ends the options, and nothing follows
        ended, files = place.run(*program, argument)
        assert ended.returncode not in (0, 124) and ended.stderr, (argument, ended)
        assert not files and place.traces() == before, argument


@pytest.mark.parametrize("program", [[BINARY], [str(FOLDER / "sallyport-ingress")], [SIDECAR], [EXECD]], ids=words)
def test_a_program_says_its_version_and_touches_nothing(place, program):
    before = place.traces()
    ended, files = place.run(*program, "--version")
    assert ended.returncode == 0 and re.fullmatch(r"(\S+ )?\d+\.\d+\.\d+\n", ended.stdout), ended
    assert not files and place.traces() == before


def test_the_sidecar_says_what_it_would_do(place):
    before = place.traces()
    ended, files = place.run(
        SIDECAR, "--check", OPENSANDBOX_EGRESS_RULES='{"egress":[{"action":"allow","target":"pypi.org:443"}]}')
    assert ended.returncode == 0 and "deny by default, 1 rules" in ended.stdout and "would guard" in ended.stdout, ended
    assert not files and place.traces() == before
    ended, files = place.run(SIDECAR, "--check", OPENSANDBOX_EGRESS_RULES='{"egress":[{"action":"allow"}]}')
    assert ended.returncode == 2 and "OPENSANDBOX_EGRESS_RULES" in ended.stderr
    ended, files = place.run("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", SIDECAR, "--check")
    assert ended.returncode == 1 and "CAP_NET_ADMIN" in ended.stderr
    assert not files and place.traces() == before


def test_the_machines_own_namespace_is_refused_before_a_packet_is_touched(place):
    before = place.traces()
    for arguments in ([], ["--check"]):
        ended, files = place.run(SIDECAR, *arguments, before=LIKE_THE_MACHINES)
        assert ended.returncode == (1 if arguments else 2) and "--host-namespace" in ended.stderr, ended
        assert not files and place.traces() == before


def test_the_machines_own_namespace_is_guarded_when_that_is_said_and_opened_again(place):
    before = place.traces()
    guard = subprocess.Popen(
        place.command([SIDECAR, "--host-namespace"], LIKE_THE_MACHINES), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=place.environment)
    try:
        eventually(lambda: "table inet sallyport_sidecar" in place.rules(), what="the rules")
    finally:
        for pid in run("ip", "netns", "pids", place.name).split():
            os.kill(int(pid), 9)
        guard.wait()
    assert "table inet sallyport" in place.rules(), "they stay when it ends"
    ended, files = place.run(SIDECAR, "--open", before=LIKE_THE_MACHINES)
    assert ended.returncode == 0 and "the rules are removed" in ended.stdout, ended
    assert not files and place.traces() == before
