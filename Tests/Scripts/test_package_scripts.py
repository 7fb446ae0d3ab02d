"""What the package's scripts remove of a machine, and what they leave alone."""

import pathlib
import stat
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def purge(folder, more=""):
    """As a purge does with the folder that the configuration named; the rest of the script is about this machine's own. `more` is run
    before it."""
    functions, _, _ = (ROOT / "deploy/debian/postrm").read_text().partition("if [ -d /run/systemd")
    done = subprocess.run(["sh", "-ec", f'{functions}\n{more}\npurge_configured "$1"', "sh", folder], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def machine(tmp_path):
    """Folders of a server, and one of somebody else's."""
    for name in ("state", "two words", "foreign"):
        (tmp_path / name / "sandboxes").mkdir(parents=True)
        (tmp_path / name / "sallyport.db").touch()
        (tmp_path / name / "owner").touch()
    (tmp_path / "foreign/sallyport.db").unlink()
    (tmp_path / "link").symlink_to("state")
    return tmp_path


@pytest.mark.parametrize("name", ["state", "two words"])
def test_the_folder_of_a_server_is_purged(machine, name):
    assert purge(machine / name) == "" and not (machine / name).exists()
    assert purge(machine / name) == "", "it can be gone already"


@pytest.mark.parametrize("name", ["state", "two words"])
def test_a_folder_in_which_something_is_mounted_stays(machine, name):
    inside, foreign = machine / name / "sandboxes", machine / "foreign"
    subprocess.run(["mount", "--bind", foreign, inside], check=True)
    try:
        assert "something is mounted below" in purge(machine / name)
        assert (foreign / "owner").exists() and (machine / name / "sallyport.db").exists()
    finally:
        subprocess.run(["umount", inside], check=True)


@pytest.mark.parametrize("name", ["foreign", "link", "state/../state", "state/", "sta*"])
def test_what_may_be_more_than_a_servers_folder_stays(machine, name):
    before = sorted(machine.rglob("*"))
    # A name with a pattern in it is no name of a folder that is there.
    assert "stays" in purge(f"{machine}/{name}") or name == "sta*"
    assert sorted(machine.rglob("*")) == before


# Takes every folder for a server's, and removes nothing.
TAKEN = 'purge_servers() { echo "taken: $1" >&2; }'


@pytest.mark.parametrize("folder", [
    "/", "/home", "/usr", "/usr/bin", "/usr/share/doc", "/etc", "/etc/apt", "/var", "/var/lib", "/root", "/srv", "/tmp", "/proc/self", "."])
def test_parts_of_the_system_stay_whatever_is_in_them(folder):
    assert "stays" in purge(folder, TAKEN)


def test_other_folders_are_looked_at(tmp_path):
    for folder in ("/var/lib/dpkg", tmp_path):
        assert purge(folder, TAKEN) == f"taken: {folder}\n"


def functions(script):
    """What a script defines before it does anything."""
    text = (ROOT / f"deploy/debian/{script}").read_text()
    return text[:text.index("\nif [")]


def users(script, function, database, status=0):
    """What a script makes or removes where `database` has these lines of passwd and group, and what it says. The commands that change
    users end with `status`."""
    lines = "\n".join(f"{kind} {line}" for kind, line in database)
    commands = f"""
getent() {{ printf '%s\\n' '{lines}' | awk -F '[ :]' -v kind="$1" -v key="$2" '
    $1 == kind && ($2 == key || $4 == key) {{ sub(/^[a-z]+ /, ""); print; found = 1 }} END {{ exit !found }}'; }}
for command in groupadd useradd groupdel userdel; do eval "$command() {{ echo $command \\$*; return {status}; }}"; done
"""
    done = subprocess.run(["sh", "-ec", f"{functions(script)}\n{commands}\n{function}"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return [line.split()[0] for line in done.stdout.splitlines()], done.stderr


OURS = [("passwd", "sallyport-gateway:x:60911:60911::/nonexistent:/usr/sbin/nologin"), ("group", "sallyport-gateway:x:60911:")]
THEIRS = [("passwd", "sallyport-gateway:x:1001:1001::/home/gateway:/bin/sh"), ("group", "sallyport-gateway:x:1001:")]
OF_ANOTHER_NAME = [("passwd", "edge:x:60911:60911::/:/bin/sh"), ("group", "edge:x:60911:")]


def test_the_gateways_user_is_made_once():
    assert users("postinst", "make_user", []) == (["groupadd", "useradd"], "")
    assert users("postinst", "make_user", OURS) == ([], "")


def test_an_id_that_somebody_has_is_told():
    made, said = users("postinst", "make_user", OF_ANOTHER_NAME)
    assert made == [] and "60911, which is the user edge here" in said


def test_a_name_that_somebody_has_is_told_and_does_not_fail_the_package():
    made, said = users("postinst", "make_user", THEIRS)
    assert made == [] and "sallyport-ingress needs that id" in said


def test_a_purge_removes_the_user_of_the_package_and_no_other():
    assert users("postrm", "remove_user", OURS) == (["userdel", "groupdel"], "")
    assert users("postrm", "remove_user", THEIRS) == ([], "")
    assert users("postrm", "remove_user", OF_ANOTHER_NAME) == ([], "")
    assert users("postrm", "remove_user", []) == ([], "")


def test_a_user_that_a_process_has_stays_and_does_not_fail_the_purge():
    removed, said = users("postrm", "remove_user", OURS, status=8)
    assert removed == ["userdel", "groupdel"] and "the user sallyport-gateway stays" in said


def make_state(state):
    done = subprocess.run(["sh", "-ec", f'umask 022\n{functions("postinst")}\nstate=$1\nmake_state', "sh", state],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_no_other_user_enters_the_state_before_the_first_start(tmp_path):
    state = tmp_path / "state"
    make_state(state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_a_state_that_is_there_stays_as_it_is(tmp_path):
    state, link = tmp_path / "state", tmp_path / "link"
    state.mkdir(mode=0o711)
    # To a disk that is not mounted.
    link.symlink_to(tmp_path / "disk/sallyport")
    for one in (state, link):
        make_state(one)
    assert stat.S_IMODE(state.stat().st_mode) == 0o711 and link.is_symlink() and not link.exists()


@pytest.mark.parametrize("script", ["postinst", "postrm"])
def test_a_systemd_that_does_not_answer_fails_no_script(script):
    silent = "systemctl() { echo 'Failed to connect to bus' >&2; return 1; }"
    done = subprocess.run(["sh", "-ec", f"{functions(script)}\n{silent}\nreload"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "run 'systemctl daemon-reload'" in done.stderr, done
