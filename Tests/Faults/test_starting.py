"""A server that cannot start says why, ends, and harms nobody."""

import os
import shutil
import socket
import subprocess

import httpx
import pytest
from support.server import BINARY, EXECD, AllInOneServer, complaint, deny_but
from support.inside import fetches, resolves, say
from support.waiting import eventually


@pytest.fixture
def stopped(world):
    """A server that is not started yet."""
    server = AllInOneServer(world)
    yield server
    server.start()
    server.tear_down()


def failure(server, *, config=None, through=(), **environment):
    """What a server that must not come up says, which is short."""
    if config is not None:
        server.config.write_text(config)
    process = server.launch(through=through, **environment)
    try:
        code = process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()
    text = server.log.read_text()
    assert code not in (0, None) and code > 0, f"{code}: {text}"
    assert complaint(text) and "Fatal" not in text and "crashed" not in text
    return complaint(text)


@pytest.mark.parametrize("which", ["port", "gateway_port"])
def test_a_port_that_is_taken_is_named_with_the_key_to_change(stopped, which):
    port = getattr(stopped, which)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        text = failure(stopped)
    assert f"127.0.0.1:{port}" in text and "port" in text and "in use" in text.lower()


def test_whatever_cannot_listen_says_so_in_words(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        guard = tmp_path / "guard.toml"
        guard.write_text(f'[egress]\nmetrics_listen = "127.0.0.1:{port}"\n[local]\nstate_dir = "{tmp_path}/s"\nrun_dir = "{tmp_path}/r"\n')
        folder = os.path.dirname(BINARY)
        for words in (
            [BINARY, "guard", "--config", str(guard)],
            [BINARY, "ingress", "--host", "127.0.0.1", "--port", str(port), "--state-directory", str(tmp_path)],
            [f"{folder}/sallyport-ingress", "--host", "127.0.0.1", "--port", str(port), "--directory", "127.0.0.1:1"],
            [EXECD, "--port", str(port)],
        ):
            ended = subprocess.run(words, capture_output=True, text=True, timeout=20, env={"PATH": os.environ["PATH"]})
            assert ended.returncode > 0, words
            assert f":{port}: Address already in use; stop what uses it" in ended.stderr, f"{words}: {ended.stderr}"
            assert "descriptor" not in ended.stderr


def test_a_second_server_of_the_same_configuration_ends_and_harms_nobody(own_server, world):
    sandbox = own_server.create(network_policy=deny_but("one.example"))
    second = own_server.launch()
    try:
        assert second.wait(timeout=20) not in (0, None)
    finally:
        second.kill()
        second.wait()
    assert str(own_server.state) in complaint(own_server.log.read_text())
    assert own_server.process.poll() is None
    assert say(sandbox, "echo still") == "still"
    assert fetches(sandbox, "http://one.example/") and not resolves(sandbox, "two.example")
    sandbox.patch_egress_rules(deny_but("three.example").egress)
    assert fetches(sandbox, "http://three.example/") and not fetches(sandbox, f"http://{world.two}/")


def test_secrets_that_are_not_those_of_the_sandboxes_are_told_with_how_many_they_lock_out(own_server):
    def told():
        text = own_server.log.read_text()
        return [line for line in text[text.rindex("sandboxes found"):].splitlines() if "critical" in line]

    own_server.create(), own_server.create()
    own_server.kill()
    secrets, kept = own_server.state / "secrets", own_server.folder / "kept"
    secrets.rename(kept)
    own_server.restart()
    assert len(told()) == 1 and str(secrets) in told()[0]
    assert "2 of them are locked out" in told()[0] and "credential-key" in told()[0]
    own_server.kill()
    # Another one in its place: nothing is missing any more, and they are locked out all the same.
    own_server.restart()
    assert "2 of them are locked out" in told()[0] and "credential-key" not in told()[0]
    own_server.kill()
    shutil.rmtree(secrets)
    kept.rename(secrets)
    own_server.restart()
    assert told() == []


def test_a_state_of_a_newer_release_is_refused_by_server_and_guard_and_stays_as_it_is(own_server):
    release, words = own_server.state / "release", ["--config", str(own_server.config)]
    mine = release.read_text()
    version = subprocess.run([BINARY, "--version"], capture_output=True, text=True, timeout=20).stdout
    assert version == f"sallyport {mine}"
    own_server.stop()
    try:
        for content, told in (("99.0.0\n", "install 99.0.0"), ("9" * 100_000, str(release))):
            release.write_text(content)
            guard = subprocess.run([BINARY, "guard", *words], capture_output=True, text=True, timeout=20)
            assert guard.returncode == 1 and told in complaint(guard.stderr), guard.stderr
            assert told in failure(own_server)
            assert release.read_text() == content
    finally:
        release.write_text(mine)


def test_an_empty_key_must_be_said_aloud(stopped):
    text = failure(stopped, OPENSANDBOX_SERVER_API_KEY="")
    assert "OPENSANDBOX_INSECURE_SERVER=YES" in text
    stopped.process = stopped.launch(OPENSANDBOX_SERVER_API_KEY="", OPENSANDBOX_INSECURE_SERVER="YES")
    eventually(stopped._is_up, within=20, what="the open server")
    assert httpx.get(stopped.base + "/v1/sandboxes").status_code == 200
    answer = httpx.get(stopped.base + "/v1/sandboxes", headers={"Origin": "http://page.example"})
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers
    stopped.stop()


@pytest.mark.parametrize("config, words", [
    ("[server]\nport = \"x\"\n", ["server.port"]), ("[server]\nport = 70000\n", ["server.port", "65535"]),
    ("[server\n", ["line 1"]), ("[log]\nlevel = \"LOUD\"\n", ["log.level", "DEBUG"]),
    ("[runtime]\ntype = \"kubernetes\"\n", ["runtime.type", "local"]), ("[store]\ntype = \"x\"\n", ["store.type", "sqlite"]),
    ("[local]\ntag = \"too-long\"\n", ["local.tag"]), ("[local]\naddress_pool = \"10.0.0.0/33\"\n", ["local.address_pool"]),
    ("[egress]\nupstreams = [\"nonsense\"]\n", ["egress.upstreams"]),
    ("[ingress.gateway.route]\nmode = \"x\"\n", ["route.mode", "header"]),
    ("[ingress.secure_access]\nactive_key = \"ab\"\nkeys = []\n", ["active_key"]),
    ("[server]\nmax_sandbox_timeout_seconds = 5\n", ["max_sandbox_timeout_seconds", "60"]),
])
def test_a_configuration_that_is_wrong_is_told_with_its_key(stopped, config, words):
    before = stopped.config.read_text()
    try:
        text = failure(stopped, config=config)
    finally:
        stopped.config.write_text(before)
    assert all(word in text for word in words), text
    assert str(stopped.config) in text or any("." in word or "_" in word for word in words)


def test_a_missing_configuration_is_told(stopped):
    stopped.config.rename(stopped.config.with_suffix(".away"))
    try:
        assert "init-config" in failure(stopped)
    finally:
        stopped.config.with_suffix(".away").rename(stopped.config)


def test_a_missing_execd_is_told_with_the_command_that_makes_it(stopped):
    before = stopped.config.read_text()
    try:
        text = failure(stopped, config=before.replace("execd = \"", "execd = \"/no/such"))
    finally:
        stopped.config.write_text(before)
    assert "/no/such" in text and "make" in text


def test_a_missing_runtime_is_told_with_the_package_that_has_it(stopped):
    hide = "for program in crun runc; do for folder in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do " \
        "[ ! -e $folder/$program ] || mount --bind /dev/null $folder/$program; done; done; exec \"$@\""
    text = failure(stopped, through=["unshare", "--mount", "sh", "-ec", hide, "sh"])
    assert "crun is not installed" in text and "apt-get install crun" in text


def test_a_kernel_that_refuses_what_a_guard_needs_is_told_and_nothing_is_left(stopped):
    """To the server, a kernel without a feature and one that refuses it are the same."""
    text = failure(stopped, through=["setpriv", "--bounding-set=-net_admin"])
    assert "the kernel lacks" in text and "CAP_NET_ADMIN" in text
    assert not stopped.leftovers.namespaces() and not list((stopped.state / "sandboxes").glob("*"))


def test_somebody_who_is_not_root_is_told(stopped):
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BINARY, "serve", "--port", "1",
         "--state-directory", f"{stopped.folder}/x"],
        capture_output=True, text=True, timeout=20, env={"HOME": "/nonexistent", "OPENSANDBOX_SERVER_API_KEY": "x"})
    if "Permission denied" in done.stderr and "sallyport:" not in done.stderr:
        pytest.skip("this build lies in a folder that only root may enter")
    assert done.returncode != 0 and "root" in done.stderr


def test_the_starter_configuration_is_one_that_the_server_takes(stopped):
    starter = stopped.folder / "starter.toml"
    done = subprocess.run([BINARY, "init-config", str(starter)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and starter.stat().st_mode & 0o777 == 0o600
    again = subprocess.run([BINARY, "init-config", str(starter)], capture_output=True, text=True, timeout=20)
    assert again.returncode != 0 and "--force" in again.stderr
    nowhere = subprocess.run([BINARY, "init-config", "/nowhere/starter.toml"], capture_output=True, text=True, timeout=20)
    assert nowhere.returncode != 0 and "/nowhere/starter.toml cannot be written: No such file or directory" in nowhere.stderr
    # Its keys are known: with a port that is out of range beside them, that is what is wrong.
    text = failure(stopped, config=starter.read_text().replace("# port = 8080", "port = 0"))
    stopped.write_configuration()
    assert "server.port" in text
