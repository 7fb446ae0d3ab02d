"""The Debian package, installed, used, upgraded and purged in a Debian of packages alone: no toolchain, no build folder."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest
from support.machine import CONFIGURATION, FIRST, Machine
from support.server import ROOT
from support.waiting import eventually

# Not where the package's own configuration has it.
STATE = "/srv/sallyport"
# What a removal runs before anything is gone.
PRERM = "/var/lib/dpkg/info/sallyport.prerm"
SECOND = "0.0.2"


def newer(package, folder):
    """The same programs as a package of the second version, beside the first; what is installed is taken over as it is packed."""
    subprocess.run(["dpkg-deb", "--control", package, folder / "control"], check=True)
    control = folder / "control/control"
    control.write_text(control.read_text().replace(f"Version: {FIRST}", f"Version: {SECOND}"))
    member = folder / "control.tar.xz"
    subprocess.run(["tar", "-C", control.parent, "--owner=0", "--group=0", "-cJf", member, "."], check=True)
    made = package.with_name(package.name.replace(FIRST, SECOND))
    shutil.copy(package, made)
    subprocess.run(["ar", "r", made, member], check=True)
    return made


@pytest.fixture(scope="module")
def unpacked(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    subprocess.run(["dpkg-deb", "--extract", str(package), str(folder)], check=True)
    return folder


class Installed(Machine):
    """A machine with both packages at hand, the image of the tests, and a disk of its own for the server's state."""

    def __init__(self, folder, package):
        self.package, self.newer, self.state = package, newer(package, folder), folder / "state"
        self.state.mkdir()
        base = ROOT / ".build-base/base"
        subprocess.run(["scripts/base-image.sh", str(base)], cwd=ROOT, check=True, capture_output=True, timeout=600)
        super().__init__(folder / "machine", folders={package.parent: package.parent, self.state: STATE, base: f"{STATE}/base"})

    def spoil(self, text):
        self.configure(text + "[local\n")

    def sallyport(self, *words, **options):
        return self.run("sallyport", *words[:2], "--config", CONFIGURATION, *words[2:], **options)

    def waits(self):
        eventually(lambda: "healthy" in subprocess.run(self.words("sallyport", "status", "--config", CONFIGURATION),
                                                       capture_output=True, text=True).stdout, what=self.journal)

    def version(self):
        return self.run("dpkg-query", "--show", "--showformat", "${Status} ${Version}", "sallyport")


@pytest.fixture(scope="module")
def machine(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    machine = Installed(folder, package)
    try:
        yield machine
    finally:
        machine.close()


def sandboxes_processes(machine):
    """Processes whose root lies in this machine's state."""
    upper, found = f"upperdir={machine.state}/", []
    inside = f"upperdir={STATE}/"
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "mountinfo").read_text().splitlines()
        except OSError:
            continue
        roots = [line for line in text if line.split()[4] == "/"]
        if any(inside in line or upper in line for line in roots):
            found.append(int(folder.name))
    return found


def test_the_package_is_installed_used_upgraded_removed_and_purged(machine):
    run = machine.run
    assert "sallyport doctor" in run("dpkg", "-i", machine.package)
    assert run("sallyport", "--version").startswith("sallyport ")
    assert run("sallyport-egress", "--help") and run("sallyport-ingress", "--help")
    listed = run("dpkg", "-L", "sallyport").split()
    pages = [name for name in listed if "/man1/" in name]
    assert len(pages) > 10 and "/usr/share/man/man1/sallyport-sandbox.1.gz" in pages
    for program in ("sallyport", "sallyport-ingress", "sallyport-egress"):
        assert f"/usr/share/man/man1/{program}.1.gz" in pages
    for program in ("sallyport", "sallyport-ingress"):
        run("bash", "-n", f"/usr/share/bash-completion/completions/{program}")
    assert "/lib/systemd/system/sallyport.service" in listed
    assert re.fullmatch(r"root root 640\n", run("stat", "-c", "%U %G %a", CONFIGURATION))
    assert run("stat", "-c", "%U %G %a", "/var/lib/sallyport") == "root root 700\n"

    # Its scripts make images where they are installed: this one takes a folder with the stamp of what it would make for made.
    assert "complete: /tmp/code" in run("bash", "-ec", """
        mkdir /tmp/code && cd /usr/share/sallyport
        cat code-image.sh base-image.sh code/* | sha256sum | cut -d' ' -f1 > /tmp/code.stamp
        ./code-image.sh /tmp/code""")

    run("sed", "-i", f's|^# state_dir = "[^"]*"|state_dir = "{STATE}"|', CONFIGURATION)
    kept = run("cat", CONFIGURATION)
    findings = json.loads(run("sallyport", "doctor", "--config", CONFIGURATION, "--json"))
    assert all(finding["grade"] != "problem" for finding in findings), findings
    # A configuration that cannot be read holds up nothing where nothing is.
    machine.spoil(kept)
    assert "the removal goes on" in run("unshare", "--mount", "sh", "-c", f"mount -t tmpfs none /sys && {PRERM} remove 2>&1")
    machine.configure(kept)

    # A server that is not the package's unit.
    run("systemd-run", "--quiet", "--unit=other", "sallyport", "serve", "--config", CONFIGURATION)
    machine.waits()
    name = machine.sallyport("sandbox", "create", "sallyport/base:latest").strip()
    assert machine.sallyport("sandbox", "exec", name, "--", "echo", "packaged") == "packaged\n"
    refused = run(PRERM, "remove", status=1)
    assert f"process {machine.main('other')}\n" in refused and "stop the server" in refused, refused
    run("systemctl", "stop", "other")

    # The unit: an upgrade restarts it, and sandboxes go on.
    kept += "# of the operator\n"
    machine.configure(kept)
    run("systemctl", "enable", "--now", "sallyport")
    machine.waits()
    before, owner = machine.main("sallyport"), (machine.state / "owner").read_text()
    run("dpkg", "-i", machine.newer)
    assert machine.version() == f"install ok installed {SECOND}" and run("cat", CONFIGURATION) == kept
    machine.waits()
    assert machine.main("sallyport") != before
    assert machine.sallyport("sandbox", "exec", name, "--", "echo", "still") == "still\n"
    assert (machine.state / "owner").read_text() == owner

    # There is no way back from a newer release's state.
    release = machine.state / "release"
    ours = release.read_text()
    release.write_text("900.1.0\n")
    assert "release 900.1.0 has written" in run("dpkg", "-i", machine.package, status=1)
    assert machine.version() == f"install ok installed {SECOND}"
    release.write_text(ours)

    assert sandboxes_processes(machine)
    machine.spoil(kept)
    refused = run("dpkg", "--remove", "sallyport", status=1)
    assert f"Correct {CONFIGURATION}" in refused and "/sys/fs/cgroup/" in refused, refused
    # dpkg notes what was asked for.
    assert machine.version() == f"deinstall ok installed {SECOND}" and sandboxes_processes(machine)
    machine.configure(kept)
    assert f"removed the sandbox {name}" in run("dpkg", "--remove", "sallyport")
    assert not sandboxes_processes(machine)
    assert (machine.state / "secrets").is_dir() and run("cat", CONFIGURATION) == kept
    # The image is this test's, not the package's.
    run("umount", f"{STATE}/base")
    run("dpkg", "--purge", "sallyport")
    left = run("sh", "-c", "find / -xdev -iname '*sallyport*' ! -path '/proc/*' ! -path '/sys/*'").split()
    assert left == [STATE] and not list(machine.state.iterdir()), "it is a file system of its own, and empty"


def test_the_package_depends_on_what_its_programs_load(package):
    fields = subprocess.run(["dpkg-deb", "--field", str(package)], capture_output=True, text=True, check=True).stdout
    for need in ("libc6", "libnftnl11", "libmnl0", "libssl3", "libcurl4", "crun | runc", "skopeo", "umoci"):
        assert need in fields, fields


def test_everybody_may_read_the_package_but_its_configuration_and_only_root_changes_it(package):
    lines = subprocess.run(["dpkg-deb", "--contents", str(package)], capture_output=True, text=True, check=True).stdout.splitlines()
    entries = {line.split(None, 5)[5]: line.split()[:2] for line in lines}
    assert entries.pop(f".{CONFIGURATION}") == ["-rw-r-----", "root/root"]
    wrong = {name: found for name, found in entries.items()
             if found[1] != "root/root" or found[0] not in ("drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--")}
    assert not wrong and len(entries) > 100, wrong


def test_documents_of_the_package_link_to_what_it_has(unpacked):
    documents = unpacked / "usr/share/doc/sallyport"
    dead = [
        f"{page.relative_to(documents)}: {link}" for page in documents.rglob("*.md")
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text())
        if "://" not in link and not link.startswith("mailto:") and not (page.parent / link).exists()]
    assert not dead and len(list(documents.rglob("*.md"))) > 20, dead
    for unit in (unpacked / "lib/systemd/system").glob("*.service"):
        [named] = re.findall(r"^Documentation=(.*)$", unit.read_text(), re.M)
        page, file = named.split()
        assert page == "man:sallyport(1)" and (unpacked / "usr/share/man/man1/sallyport.1.gz").exists()
        assert (unpacked / file.removeprefix("file:///")).exists(), named


def test_manual_pages_are_clean(unpacked):
    pages = sorted((unpacked / "usr/share/man/man1").glob("*.gz"))
    for page in pages:
        text = subprocess.run(["zcat", str(page)], capture_output=True, check=True).stdout
        done = subprocess.run(["groff", "-k", "-man", "-Tutf8", "-ww", "-z"], input=text, capture_output=True)
        assert not done.stderr, f"{page.name}: {done.stderr.decode()}"
