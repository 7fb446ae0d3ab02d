"""The Debian package, installed, used, upgraded and purged in a root of Debian's packages alone: no toolchain, no build folder."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from support.server import BINARY, ROOT
from support.waiting import eventually

# What the package depends on, so that it installs without a network.
NEEDS = ["crun", "skopeo", "umoci", "e2fsprogs", "libmnl0", "libnftnl11", "libsqlite3-0", "libcurl4", "libssl3", "libstdc++6", "iproute2"]
CONFIGURATION = "/etc/sallyport/sallyport.toml"
# Not where the package's own configuration has it.
STATE = "/srv/sallyport"
# What a removal runs before anything is gone.
PRERM = "/var/lib/dpkg/info/sallyport.prerm"
FIRST, SECOND = "0.0.1", "0.0.2"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    subprocess.run(["scripts/install-deps.sh", "package"], cwd=ROOT, check=True, timeout=300)
    done = subprocess.run(["scripts/deb.sh", str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "SALLYPORT_BINARY": str(BINARY), "VERSION": FIRST})
    assert done.returncode == 0, done.stderr
    return pathlib.Path(done.stdout.strip())


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


class Machine:
    """A root file system and a network of its own, in which what is installed is gone with it."""

    def __init__(self, folder, package):
        self.root, self.state = folder / "root", folder / "state"
        lower = ROOT / ".build-base/package"
        subprocess.run(["scripts/base-image.sh", str(lower), *NEEDS], cwd=ROOT, check=True, capture_output=True, timeout=600)
        subprocess.run(["scripts/base-image.sh", str(ROOT / ".build-base/base")], cwd=ROOT, check=True, capture_output=True, timeout=600)
        self.holder = subprocess.Popen(["unshare", "--mount", "--net", "--propagation", "private", "sleep", "1000"])
        eventually(lambda: self._link("net") != os.readlink("/proc/self/ns/net"), what="a network of its own")
        for name in ("root", "changes/upper", "changes/work", "state"):
            (folder / name).mkdir(parents=True)
        script = f"""
            mount -t tmpfs tmpfs {folder}/changes && mkdir {folder}/changes/upper {folder}/changes/work
            mount -t overlay overlay -o lowerdir={lower},upperdir={folder}/changes/upper,workdir={folder}/changes/work {self.root}
            for place in proc sys dev; do mount --rbind /$place {self.root}/$place; done
            mount -t tmpfs tmpfs {self.root}/run
            mkdir -p {self.root}{STATE} && mount --bind {self.state} {self.root}{STATE}
            mkdir {self.root}{STATE}/base {self.root}/package
            mount --bind {ROOT}/.build-base/base {self.root}{STATE}/base
            mount --bind {package.parent} {self.root}/package
            ip link set lo up
            printf 'nameserver 127.0.0.1\\n' > {self.root}/etc/resolv.conf
        """
        self._enter("bash", "-ec", script, chroot=False)
        self.package, self.newer = (f"/package/{one.name}" for one in (package, newer(package, folder)))

    def _link(self, kind):
        return os.readlink(f"/proc/{self.holder.pid}/ns/{kind}")

    def words(self, *words, chroot=True):
        inside = ["chroot", str(self.root)] if chroot else []
        return ["nsenter", "--target", str(self.holder.pid), "--mount", "--net", *inside, *words]

    def _enter(self, *words, chroot=True, status=0, **variables):
        done = subprocess.run(self.words(*words, chroot=chroot), capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", **variables})
        assert done.returncode == status, f"{words}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout + (done.stderr if status else "")

    run = _enter

    def serve(self):
        self.log = self.root.parent / "log"
        with open(self.log, "ab") as log:
            self.server = subprocess.Popen(
                self.words("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sallyport", "serve", "--config", CONFIGURATION),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(lambda: self.server.poll() is None and "healthy" in self._status(), what=lambda: self.log.read_text()[-2000:])

    def _status(self):
        done = subprocess.run(self.words("sallyport", "status", "--config", CONFIGURATION), capture_output=True, text=True)
        return done.stdout

    def stop(self):
        self.server.terminate()
        self.server.wait(timeout=30)

    def close(self):
        if getattr(self, "server", None) and self.server.poll() is None:
            self.stop()
        self.holder.kill()
        self.holder.wait()


@pytest.fixture(scope="module")
def machine(package, tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"), package)
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
    spoil(machine, kept)
    run("mount", "-t", "tmpfs", "tmpfs", f"{machine.root}/sys", chroot=False)
    assert "the removal goes on" in run("sh", "-c", f"{PRERM} remove 2>&1")
    run("umount", f"{machine.root}/sys", chroot=False)
    write(machine, kept)

    machine.serve()
    name = run("sallyport", "sandbox", "create", "--config", CONFIGURATION, "sallyport/base:latest").strip()
    assert run("sallyport", "sandbox", "exec", "--config", CONFIGURATION, name, "--", "echo", "packaged") == "packaged\n"
    refused = run(PRERM, "remove", status=1)
    # What enters the machine becomes the server.
    assert f"process {machine.server.pid}\n" in refused and "stop the server" in refused, refused

    kept += "# of the operator\n"
    write(machine, kept)
    owner = (machine.state / "owner").read_text()
    run("dpkg", "-i", machine.newer)
    assert installed(machine) == f"install ok installed {SECOND}" and run("cat", CONFIGURATION) == kept
    machine.stop()
    machine.serve()
    assert run("sallyport", "sandbox", "exec", "--config", CONFIGURATION, name, "--", "echo", "still") == "still\n"
    assert (machine.state / "owner").read_text() == owner
    machine.stop()

    # There is no way back from a newer release's state.
    release = machine.state / "release"
    ours = release.read_text()
    release.write_text("900.1.0\n")
    assert "release 900.1.0 has written" in run("dpkg", "-i", machine.package, status=1)
    assert installed(machine) == f"install ok installed {SECOND}"
    release.write_text(ours)

    assert sandboxes_processes(machine)
    spoil(machine, kept)
    refused = run("dpkg", "--remove", "sallyport", status=1)
    assert f"Correct {CONFIGURATION}" in refused and "/sys/fs/cgroup/" in refused, refused
    # dpkg notes what was asked for.
    assert installed(machine) == f"deinstall ok installed {SECOND}" and sandboxes_processes(machine)
    write(machine, kept)
    assert f"removed the sandbox {name}" in run("dpkg", "--remove", "sallyport")
    assert not sandboxes_processes(machine)
    assert (machine.state / "secrets").is_dir() and run("cat", CONFIGURATION) == kept
    # The image is this test's, not the package's.
    run("umount", f"{machine.root}{STATE}/base", chroot=False)
    run("dpkg", "--purge", "sallyport")
    left = run("sh", "-c", "find / -xdev -iname '*sallyport*' ! -path '/proc/*' ! -path '/sys/*' ! -path '/package/*' ! -path '/opt/*'").split()
    assert left == [STATE] and not list(machine.state.iterdir()), "it is a file system of its own, and empty"


def write(machine, text):
    machine.run("sh", "-c", f'printf %s "$1" > {CONFIGURATION}', "sh", text)


def spoil(machine, text):
    write(machine, text + "[local\n")


def installed(machine):
    return machine.run("dpkg-query", "--show", "--showformat", "${Status} ${Version}", "sallyport")


def test_the_package_depends_on_what_its_programs_load(package):
    fields = subprocess.run(["dpkg-deb", "--field", str(package)], capture_output=True, text=True, check=True).stdout
    for need in ("libc6", "libnftnl11", "libmnl0", "libssl3", "libcurl4", "crun | runc", "skopeo", "umoci"):
        assert need in fields, fields


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
