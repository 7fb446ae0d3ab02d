"""Engines that are reached by TCP, with and without TLS (docs/docker.md)."""

import json
import socket
import subprocess
import threading

import pytest
from plain_engine import PlainEngine
from support.certificates import alternative
from support.inside import fetches, say
from support.server import AllInOneServer, complaint, deny_but, free_port


class Authority:
    """Signs certificates into folders as Docker's clients have them."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        folder.mkdir()
        self.openssl("req", "-x509", *self.key("ca-key.pem"), "-days", "2", "-subj", f"/CN={name}", "-out", "ca.pem")

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    @staticmethod
    def key(path):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(path)]

    def issue(self, folder, usage, *names, days=2, trusts=None):
        """`cert.pem` and `key.pem`, and the authority that their owner trusts as `ca.pem`."""
        folder.mkdir()
        extensions = folder / "extensions"
        extensions.write_text(f"extendedKeyUsage={usage}\n" + (
            f"subjectAltName={','.join(map(alternative, names))}\n" if names else ""))
        self.openssl("req", "-new", *self.key(folder / "key.pem"), "-subj", f"/CN={usage}", "-out", folder / "request.pem")
        self.openssl(
            "x509", "-req", "-in", folder / "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days",
            str(days), "-extfile", extensions, "-out", folder / "cert.pem")
        (folder / "ca.pem").write_bytes(((trusts or self).folder / "ca.pem").read_bytes())
        return folder


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Folders by what is wrong with them."""
    folder = tmp_path_factory.mktemp("certificates")
    ours, others = Authority(folder / "ours", "ours"), Authority(folder / "others", "others")
    made = {
        "engine": ours.issue(folder / "engine", "serverAuth", "127.0.0.1"),
        "good": ours.issue(folder / "good", "clientAuth"),
        "expired": ours.issue(folder / "expired", "clientAuth", days=0),
        "of another authority": others.issue(folder / "foreign", "clientAuth", trusts=ours),
        "trusting another": ours.issue(folder / "trusting", "clientAuth", trusts=others),
        "for servers": ours.issue(folder / "servers", "serverAuth"),
    }
    return made


@pytest.fixture(scope="module")
def secure_engine(tmp_path_factory, certificates):
    folder, port = certificates["engine"], free_port()
    engine = PlainEngine(
        tmp_path_factory.mktemp("secure"), "--host", f"tcp://127.0.0.1:{port}", "--tlsverify", "--tlscacert", f"{folder}/ca.pem",
        "--tlscert", f"{folder}/cert.pem", "--tlskey", f"{folder}/key.pem")
    engine.port = port
    try:
        yield engine.prepare()
    finally:
        engine.close()


def tables(host, certificates=None, **more):
    lines = [f'host = "{host}"'] + ([f'tls_dir = "{certificates}"'] if certificates else [])
    return '[runtime]\ntype = "docker"\n[docker]\n' + "\n".join(lines + [f"{key} = {value}" for key, value in more.items()]) + "\n"


@pytest.fixture(scope="module")
def server(world, secure_engine, certificates):
    """One server, whose engine tests change."""
    server = AllInOneServer(world, tables=tables(f"tcp://127.0.0.1:{secure_engine.port}", certificates["good"]))
    try:
        yield server.start()
        server.stop()
        server.tables = tables(f"unix://{secure_engine.socket}")
        server.write_configuration()
        server.start()
    finally:
        server.tear_down()


def refusal(server, text, **environment):
    """What a create is told with another engine; in it and in the log there is nothing of a key."""
    server.stop()
    server.tables = text
    server.write_configuration()
    server.start(**environment)
    answer = server.api.post("/v1/sandboxes", json=server.body())
    assert answer.status_code == 500, answer.text
    for said in (answer.text, server.log.read_text(errors="replace")):
        assert "PRIVATE KEY" not in said
    return answer.json()["message"]


def test_an_engine_with_tls_runs_guarded_sandboxes(server, create, world):
    sandbox = create(network_policy=deny_but("one.example"))
    assert say(sandbox, "echo there") == "there"
    assert fetches(sandbox, "http://one.example/") and not fetches(sandbox, f"http://{world.two}/")


def test_the_environment_says_where_an_engine_is_as_dockers_own_clients_have_it(server, secure_engine, certificates):
    server.stop()
    server.tables = '[runtime]\ntype = "docker"\n'
    server.write_configuration()
    server.start(
        DOCKER_HOST=f"tcp://127.0.0.1:{secure_engine.port}", DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(certificates["good"]))
    sandbox = server.create()
    assert say(sandbox, "echo there") == "there"
    server.api.delete(f"/v1/sandboxes/{sandbox.id}")
    sandbox.close()


@pytest.mark.parametrize("which", ["trusting another", "of another authority", "expired", "for servers"])
def test_who_cannot_prove_who_it_is_is_told_to_look_at_the_certificates(server, secure_engine, certificates, which):
    message = refusal(server, tables(f"tcp://127.0.0.1:{secure_engine.port}", certificates[which]))
    assert "ca.pem, cert.pem and key.pem" in message, message


def test_an_engine_with_tls_says_so_to_who_speaks_without(server, secure_engine):
    assert "HTTPS" in refusal(server, tables(f"tcp://127.0.0.1:{secure_engine.port}"))


def test_an_engine_that_accepts_and_says_nothing_is_given_up(server):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []

        def accept():
            while True:
                try:
                    held.append(listener.accept())
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        message = refusal(server, tables(f"tcp://127.0.0.1:{listener.getsockname()[1]}", api_timeout=1))
        listener.shutdown(socket.SHUT_RDWR)
    assert "no answer in time" in message and held


def test_an_engine_where_nobody_listens_is_named(server):
    port = free_port()
    message = refusal(server, tables(f"tcp://127.0.0.1:{port}"))
    assert f"127.0.0.1:{port}" in message and "is dockerd running?" in message


@pytest.mark.parametrize("missing", ["ca.pem", "cert.pem", "key.pem"])
def test_a_file_that_is_missing_is_named_at_the_start(world, certificates, tmp_path, missing):
    for file in {"ca.pem", "cert.pem", "key.pem"} - {missing}:
        (tmp_path / file).write_bytes((certificates["good"] / file).read_bytes())
    server = AllInOneServer(world, tables=tables("tcp://127.0.0.1:1", tmp_path))
    try:
        process = server.launch()
        assert process.wait(30) == 1
        assert missing in complaint(server.log.read_text())
    finally:
        server.process = process
        server.expect_nothing_left()


def test_an_engine_without_tls_is_spoken_to_on_this_machine(tmp_path, world):
    port = free_port()
    engine = PlainEngine(tmp_path, "--host", f"tcp://127.0.0.1:{port}", "--tls=false")
    try:
        server = AllInOneServer(world, tables=tables(f"tcp://127.0.0.1:{port}"))
        try:
            engine.prepare()
            sandbox = server.start().create()
            assert json.loads(engine.run("inspect", f"sandbox-{sandbox.id}").stdout)
            assert say(sandbox, "echo there") == "there"
            sandbox.close()
        finally:
            server.tear_down()
    finally:
        engine.close()
