"""The package's three units of systemd, each a process of its own: their order, their rights, their log, a crash, a loss of power."""

import json
import subprocess

import pytest
from support.machine import CONFIGURATION, Machine
from support.server import BASE_IMAGE
from support.waiting import eventually

UNITS = ["sallyport-guard", "sallyport", "sallyport-ingress"]
SETTINGS = """
[local]
base_image = "/base"
reachable_by = ["root", "sallyport-gateway"]
[egress]
external = true
[ingress]
external = true
[ingress.directory]
listen = "127.0.0.1:28800"
"""
GATEWAY = "/etc/sallyport/ingress.conf"
# The gateway opens the file when it starts, and does not start where it cannot.
ARGUMENTS = "--directory 127.0.0.1:28800 --host 127.0.0.1 --log-format json --one-time-file /var/lib/sallyport-ingress/one-time-routes"
# Of /proc/<pid>/status, by capability number.
ADMINISTRATION, NETWORK, BINDING = 21, 12, 10


@pytest.fixture(scope="module")
def machine(package, tmp_path_factory):
    state = tmp_path_factory.mktemp("state")
    machine = Machine(tmp_path_factory.mktemp("machine"), {package.parent: "/package", BASE_IMAGE: "/base", state: "/var/lib/sallyport"})
    try:
        machine.run("dpkg", "--install", f"/package/{package.name}")
        machine.configure(SETTINGS)
        machine.run("sh", "-c", f"echo ARGUMENTS={ARGUMENTS} > {GATEWAY}")
        yield machine
    finally:
        machine.close()


def status(machine, unit):
    """Of the unit's first process, from /proc."""
    return dict(line.split(":\t", 1) for line in machine.run("cat", f"/proc/{machine.main(unit)}/status").splitlines() if ":\t" in line)


def sallyport(machine, *words, **options):
    return machine.run("sallyport", *words, **options)


def asks(machine, name):
    """What the gateway answers for a port of a sandbox."""
    return machine.run("curl", "--silent", "--max-time", "20", "--header", f"OpenSandbox-Ingress-To: {name}-8000", "http://127.0.0.1:28888/")


def test_each_unit_serves_when_it_has_started_and_has_no_rights_it_does_not_need(machine):
    machine.run("systemctl", "enable", "--now", *UNITS[:2])
    # At once: it has said that it is ready.
    assert "healthy" in sallyport(machine, "status")
    machine.run("install", "-m", "0600", "/var/lib/sallyport/secrets/directory-secret", "/etc/sallyport/directory-secret")
    machine.run("systemctl", "enable", "--now", UNITS[2])

    guard, gateway = status(machine, "sallyport-guard"), status(machine, "sallyport-ingress")
    assert int(guard["CapBnd"], 16) == 1 << ADMINISTRATION | 1 << NETWORK | 1 << BINDING and guard["NoNewPrivs"] == "1"
    assert int(gateway["CapBnd"], 16) == 0 and gateway["NoNewPrivs"] == "1" and gateway["Seccomp"] == "2"
    assert gateway["Uid"].split()[0] != "0"

    name = sallyport(machine, "sandbox", "create", "sallyport/base:latest").strip()
    sallyport(machine, "sandbox", "exec", name, "--", "sh", "-c",
              "cd /tmp && echo of the sandbox > index.html && setsid python3 -m http.server 8000 > /dev/null 2>&1 &")
    eventually(lambda: asks(machine, name) == "of the sandbox\n", what="the port, by the gateway")

    # A crash of one is no matter to the others, nor to the sandbox.
    for unit in UNITS:
        before = machine.main(unit)
        machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit)
        eventually(lambda: machine.main(unit) not in (before, "0"), what=unit)
        machine.run("systemctl", "start", unit)
        assert sallyport(machine, "sandbox", "exec", name, "--", "echo", "still") == "still\n"
    eventually(lambda: asks(machine, name) == "of the sandbox\n", what="the port again")

    machine.run("sh", "-c", f"printf '[log]\\nlevel = \"DEBUG\"\\n' >> {CONFIGURATION}")
    machine.run("systemctl", "reload", "sallyport")
    eventually(lambda: "log.level" in machine.journal("--unit=sallyport"), what="the changed setting")

    # Whoever collects the log takes lines of JSON.
    for unit in UNITS:
        lines = machine.run("journalctl", "--no-pager", "--output=json", f"--unit={unit}", "_TRANSPORT=stdout").splitlines()
        texts = [json.loads(line)["MESSAGE"] for line in lines]
        assert texts and all(text.startswith("{") and json.loads(text)["level"] for text in texts), (unit, texts)


def test_a_unit_that_fails_again_and_again_is_started_again(machine):
    # More often than systemd lets a unit that says nothing of it.
    for _ in range(7):
        before = machine.main("sallyport-guard")
        machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "sallyport-guard")
        eventually(lambda: machine.main("sallyport-guard") not in (before, "0"), what="the guard")
    eventually(lambda: status_of(machine, "sallyport-guard") == "active\n", what="the guard, which serves")


def test_a_gateway_with_a_wrong_option_is_not_started_again_until_it_is_corrected(machine):
    machine.run("sh", "-c", f"echo ARGUMENTS=--directroy x {ARGUMENTS} > {GATEWAY}")
    machine.run("systemctl", "restart", UNITS[2], status=1)
    # Not "activating", as what is started again is.
    eventually(lambda: status_of(machine, UNITS[2]) == "failed\n", what="the end of the gateway's unit")
    assert "directroy" in machine.journal(f"--unit={UNITS[2]}")
    machine.run("sh", "-c", f"echo ARGUMENTS={ARGUMENTS} > {GATEWAY}")
    machine.run("systemctl", "restart", UNITS[2])


def test_units_that_judge_by_the_clock_wait_for_it(machine):
    for unit in UNITS[1:]:
        assert "time-sync.target" in machine.run("systemctl", "show", "--property=After", "--value", unit).split()


def test_a_machine_that_has_lost_its_power_serves_again_by_itself_and_says_what_it_has_lost(machine):
    name = sallyport(machine, "sandbox", "create", "sallyport/base:latest").strip()
    machine.reboot()
    eventually(lambda: all(status_of(machine, unit) == "active\n" for unit in UNITS), what="the units")
    # The server may have seen its end.
    lost = json.loads(sallyport(machine, "sandbox", "get", "-o", "json", name))["status"]
    assert lost["state"] in ("Terminated", "Failed") and lost["reason"], lost
    again = sallyport(machine, "sandbox", "create", "sallyport/base:latest").strip()
    assert sallyport(machine, "sandbox", "exec", again, "--", "echo", "here") == "here\n"
    assert f"removed the sandbox {again}" in machine.run("dpkg", "--remove", "sallyport")
    assert all(status_of(machine, unit) != "active\n" for unit in UNITS)


def status_of(machine, unit):
    return subprocess.run(machine.words("systemctl", "is-active", unit), capture_output=True, text=True).stdout
