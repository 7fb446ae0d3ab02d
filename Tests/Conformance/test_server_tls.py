"""The lifecycle API and the server proxy over TLS (docs/server.md#tls)."""

import os
import shutil
import socket
import ssl
from datetime import timedelta

import httpx
import pytest
from opensandbox.config import ConnectionConfigSync
from opensandbox.models.sandboxes import SandboxFilter
from support.server import AllInOneServer, free_port
from support.certificates import make_certificate
from support.inside import ECHO_SERVER, start_server
from support.waiting import eventually, patient


class SecureServer(AllInOneServer):
    """One whose API is served over TLS, too, with a certificate for this machine."""

    def __init__(self, world, folder):
        self.secure_port = free_port()
        self.certificate, self.private_key = make_certificate(folder, "server", "localhost", "127.0.0.1")
        super().__init__(world, tables=f"""
[server.tls]
port = {self.secure_port}
[[server.tls.certificates]]
certificate = "{self.certificate}"
key = "{self.private_key}"
""")

    @property
    def secure_base(self):
        return f"https://localhost:{self.secure_port}"

    def trust(self):
        return ssl.create_default_context(cafile=str(self.certificate))

    def connection(self, **more):
        return ConnectionConfigSync(
            api_key=self.key, domain=f"localhost:{self.secure_port}", protocol="https",
            request_timeout=timedelta(seconds=patient(30)), disable_metrics=True, **more)


@pytest.fixture(scope="module")
def secure(world, tmp_path_factory):
    server = SecureServer(world, tmp_path_factory.mktemp("certificates"))
    try:
        yield server.start()
    finally:
        server.tear_down()


@pytest.fixture
def trusted(secure, monkeypatch):
    """Official clients trust what this variable names."""
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.certificate))
    return secure


def test_the_official_client_works_over_https(trusted):
    sandbox = trusted.create(use_server_proxy=True)
    try:
        assert sandbox.commands.run("echo over TLS").logs.stdout[0].text.strip() == "over TLS"
        sandbox.files.write_file("/tmp/large", "x" * (1 << 20))
        assert len(sandbox.files.read_file("/tmp/large")) == 1 << 20
        with trusted.manager() as manager:
            assert sandbox.id in [found.id for found in manager.list_sandbox_infos(SandboxFilter()).sandbox_infos]
        start_server(sandbox, ECHO_SERVER)
        with httpx.Client(verify=trusted.trust()) as client:
            answer = client.post(
                f"{trusted.secure_base}/v1/sandboxes/{sandbox.id}/proxy/8000/path", content=b"b" * (1 << 20))
        told = {name.lower(): value for name, value in answer.json()["headers"]}
        assert answer.json()["target"] == "/path" and told["x-forwarded-proto"] == "https"
    finally:
        sandbox.kill()
        sandbox.close()


def test_the_listener_without_tls_serves_as_before(secure):
    assert secure.api.get("/v1/sandboxes").status_code == 200


def test_who_does_not_trust_the_certificate_sends_nothing(secure):
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{secure.secure_base}/health")


def test_what_is_no_handshake_is_no_request(secure):
    with socket.create_connection(("127.0.0.1", secure.secure_port), timeout=15) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        came = b""
        try:
            while data := raw.recv(65536):
                came += data
        except ConnectionError:
            pass
    assert b"HTTP/1.1" not in came


def test_only_http_1_is_offered(secure):
    context = secure.trust()
    context.set_alpn_protocols(["h2", "http/1.1"])
    raw = socket.create_connection(("127.0.0.1", secure.secure_port), timeout=15)
    with context.wrap_socket(raw, server_hostname="localhost") as client:
        assert client.selected_alpn_protocol() == "http/1.1"


def test_a_key_is_asked_for_as_without_tls(secure):
    with httpx.Client(base_url=secure.secure_base, verify=secure.trust()) as client:
        assert client.get("/v1/sandboxes").status_code == 401
        assert client.get("/v1/sandboxes", headers={"OPEN-SANDBOX-API-KEY": secure.key}).status_code == 200


def test_a_new_certificate_is_shown_without_a_restart(secure, tmp_path):
    with httpx.Client(base_url=secure.secure_base, verify=secure.trust()) as old:
        assert old.get("/health").status_code == 200
        certificate, key = make_certificate(tmp_path, "next", "localhost", "127.0.0.1")
        wanted = ssl.PEM_cert_to_DER_cert(certificate.read_text())
        os.replace(key, secure.private_key)
        os.replace(certificate, secure.certificate)

        def shown():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            raw = socket.create_connection(("127.0.0.1", secure.secure_port), timeout=15)
            with context.wrap_socket(raw) as client:
                return client.getpeercert(binary_form=True)

        eventually(lambda: shown() == wanted, what="the new certificate")
        assert old.get("/health").status_code == 200, "connections that are open go on"


@pytest.mark.parametrize("damage", ["readable by others", "nonsense", "gone"])
def test_a_server_does_not_start_with_a_certificate_that_cannot_be_used(world, tmp_path, damage):
    server = SecureServer(world, tmp_path)
    try:
        {"readable by others": lambda: server.private_key.chmod(0o640),
         "nonsense": lambda: server.private_key.write_text("x"),
         "gone": server.private_key.unlink}[damage]()
        process = server.launch()
        assert process.wait(timeout=60) == 1
        said = server.log.read_text()
        assert str(server.private_key) in said and "PRIVATE KEY" not in said
    finally:
        shutil.rmtree(server.folder)
