"""The suites' own tests, unchanged, with containers of an engine in the place of local sandboxes."""

import os
import pathlib
import secrets
import subprocess
import sys

import pytest
from support.world import run

TESTS = pathlib.Path(__file__).parents[1]
# Left out are files about what the API says whatever runs (test_contract.py, test_create_rules.py, the pages' and the command line's),
# about execd alone (code, terminals, isolated sessions, transfers), and about how the local runtime isolates, stores and mounts
# (isolation, memory, volumes, snapshots, images), of which test_runtime.py and test_hostile_images.py have the engine's part.
CONFORMANCE = ["test_commands.py", "test_files.py", "test_server_proxy.py", "test_egress.py", "test_registry.py",
               "test_lifecycle.py", "test_pools.py", "test_ports.py"]
# Of the gateway's what depends on where a sandbox is: its parsing and its refusals are the same for every one.
GATEWAY = [f"test_gateway.py::test_{name}" for name in (
    "a_server_in_a_sandbox_answers_through_the_gateway", "a_tampered_signature_opens_nothing[signature]",
    "secure_access_needs_the_credential_or_a_signature", "a_sandbox_that_is_gone_is_not_reached_any_more",
    "a_websocket_goes_through[gateway]")]
# These look at files, control groups and user namespaces of the local runtime; the last one takes long, and is execd's alone.
LOCAL = ["pausing_stops_processes", "a_sandbox_of_a_pool_is_what_a_cold_one_is", "those_that_wait_are_in_no_list",
         "a_line_of_ten_million_bytes"]
# Questions of the filter alone, which it answers wherever it is, with one name for several answers; the memory of the machine's
# guard; and slow tools whose packets others send, too.
ELSEWHERE = ["E10", "E12", "E20", "E23", "nmap"]
# Of each kind of attack on a guard beside a container those whose packets could take a road of their own there. Interfaces have
# other numbers in containers, and so has the scope of multicast.
BESIDE = {
    "test_sandbox.py": "test", "test_packets.py": "test", "test_flows.py": "test",
    "test_names.py": "(E3 or E8) and not ff02",
    "test_tunnels.py": "iodine_gets and NULL or dns2tcp and TXT or raw_udp or five_hundred",
    "test_resolvers.py": "insisting or nobody_knows",
}


def passes(kind, *files, without=(), words="test", before=()):
    """`without` are words of names that are left out, `words` an expression of those that are not."""
    chosen = " and ".join([*(f"not {name}" for name in without), f"({words})"])
    done = subprocess.run(
        [*before, sys.executable, "-m", "pytest", "-c", TESTS / "Conformance/pytest.ini", "--rootdir", TESTS, "-p",
         "no:cacheprovider", "-q", "-k", chosen, *files],
        env=os.environ | {"SALLYPORT_RUNTIME": kind}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_what_holds_for_local_sandboxes_holds_for_containers():
    passes("docker", *(TESTS / "Conformance" / name for name in [*CONFORMANCE, *GATEWAY]), TESTS / "Bypass/test_sandbox.py", without=LOCAL)


@pytest.fixture
def machine():
    """The network of a machine whose engine has a bridge and a firewall."""
    name = f"docker-{secrets.token_hex(3)}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield ["nsenter", f"--net=/run/netns/{name}"]
    finally:
        run("ip", "netns", "delete", name)


def test_no_attack_gets_past_a_guard_beside_a_container(machine):
    words = " or ".join(f"{name} and ({chosen})" for name, chosen in BESIDE.items())
    passes("docker-sidecar", *(TESTS / "Bypass" / name for name in BESIDE), without=ELSEWHERE, words=words, before=machine)
