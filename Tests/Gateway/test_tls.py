"""TLS in front of the gateway: which certificate, which versions, and certificates that change."""

import os
import socket
import ssl
import subprocess
import time

import h2.events
import hpack
import pytest
from support.certificates import make_certificate
from support.waiting import eventually
from support_h2 import ROUTE, Backend, Client, Gateway, RawClient, frame


@pytest.fixture(scope="module")
def backend():
    backend = Backend()
    yield backend
    backend.close()


@pytest.fixture
def gateway(backend):
    """Its own for every test, which may change its certificates."""
    gateway = Gateway(("first", "first.example"), ("second", "second.example", "*.second.example"),
                      backend_port=backend.port)
    try:
        yield gateway.start()
    finally:
        gateway.close()


def shake(gateway, name=None, protocols=("h2", "http/1.1"), lowest=None, highest=None):
    """An open connection, without a look at the certificate's issuer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if lowest:
        context.minimum_version = lowest
    if highest:
        context.maximum_version = highest
    raw = socket.create_connection(("127.0.0.1", gateway.secure_port), timeout=15)
    return context.wrap_socket(raw, server_hostname=name)


def shown(gateway, name=None):
    """The certificate that a client is shown, as DER."""
    with shake(gateway, name) as client:
        return client.getpeercert(binary_form=True)


def der(path):
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def ask(client, gateway):
    """An answer of HTTP/1.1 on an open connection."""
    client.sendall(f"GET /kilobyte HTTP/1.1\r\nHost: h\r\n{ROUTE}: {gateway.route}\r\n\r\n".encode())
    came = b""
    while not came.endswith(b"k" * 1024):
        data = client.recv(65536)
        assert data, came
        came += data
    return came


def test_the_certificate_is_chosen_by_name(gateway):
    first, second = (der(certificate) for certificate, _ in gateway.certificates)
    for name, expected in [
            (None, first), ("first.example", first), ("unknown.example", first), ("second.example", second),
            ("www.second.example", second), ("WWW.SECOND.EXAMPLE", second), ("a.b.second.example", first)]:
        assert shown(gateway, name) == expected, name


def test_a_client_that_verifies_is_satisfied(gateway):
    for name, (certificate, _) in (("first.example", gateway.certificates[0]), ("x.second.example", gateway.certificates[1])):
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--cacert", str(certificate), "--resolve",
             f"{name}:{gateway.secure_port}:127.0.0.1", "-H", f"{ROUTE}: {gateway.route}", "-w", " %{http_version}",
             f"https://{name}:{gateway.secure_port}/kilobyte"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and done.stdout == "k" * 1024 + " 2", done.stderr


def test_the_protocol_is_agreed_on_in_the_handshake(gateway):
    for offered, agreed in [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (["http/1.1", "h2"], "h2"), ([], None)]:
        with shake(gateway, protocols=offered) as client:
            assert client.selected_alpn_protocol() == agreed
            if agreed != "h2":
                assert ask(client, gateway).startswith(b"HTTP/1.1 200")


def test_old_versions_are_refused(gateway):
    with shake(gateway, lowest=ssl.TLSVersion.TLSv1_2, highest=ssl.TLSVersion.TLSv1_2) as client:
        assert client.version() == "TLSv1.2" and "GCM" in client.cipher()[0] or "CHACHA" in client.cipher()[0]
    with shake(gateway) as client:
        assert client.version() == "TLSv1.3"
    for option in ("-tls1", "-tls1_1"):
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.secure_port}", option, "-cipher", "ALL:@SECLEVEL=0"],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
        assert done.returncode != 0 and "BEGIN CERTIFICATE" not in done.stdout


def test_weak_ciphers_are_refused(gateway):
    for cipher in ("AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", "NULL"):
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.secure_port}", "-tls1_2", "-cipher",
             f"{cipher}:@SECLEVEL=0"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
        assert done.returncode != 0, cipher


def replace(gateway, index, *names):
    """Another certificate in the place of one, as renewal programs put it there."""
    folder = gateway.folder / f"new-{time.monotonic_ns()}"
    folder.mkdir()
    certificate, key = make_certificate(folder, *names)
    for source, target in ((key, gateway.certificates[index][1]), (certificate, gateway.certificates[index][0])):
        os.replace(source, target)
    return der(gateway.certificates[index][0])


def test_a_new_certificate_is_shown_without_a_restart_and_no_connection_is_dropped(gateway):
    with shake(gateway, protocols=["http/1.1"]) as old, Client(gateway, tls=True) as multiplexed:
        ask(old, gateway)
        stream = multiplexed.request("/waiting")
        new = replace(gateway, 1, "second", "second.example", "added.example")
        eventually(lambda: shown(gateway, "second.example") == new, what="the new certificate")
        assert shown(gateway, "added.example") == new and shown(gateway, "www.second.example") != new
        assert shown(gateway) == der(gateway.certificates[0][0])
        ask(old, gateway)
        assert multiplexed.response(multiplexed.request("/kilobyte"))[0] == 200
        assert not multiplexed.of(h2.events.StreamEnded, stream)


@pytest.mark.parametrize("damage", ["nonsense", "another key", "readable by others", "gone"])
def test_a_broken_file_keeps_the_old_certificate_and_is_logged_once(gateway, damage):
    certificate, key = gateway.certificates[0]
    before = shown(gateway)
    if damage == "nonsense":
        certificate.write_text("nonsense")
    elif damage == "another key":
        os.replace(make_certificate(gateway.folder, "other", "other.example")[1], key)
    elif damage == "readable by others":
        key.chmod(0o644)
    else:
        key.unlink()
    eventually(lambda: "a certificate cannot be used; the previous one stays in force" in gateway.text(), what="the complaint")
    # The files are looked at again and again meanwhile.
    time.sleep(1.2)
    assert shown(gateway) == before and gateway.text().count("a certificate cannot be used; the previous one stays in force") == 1
    assert "PRIVATE KEY" not in gateway.text()
    new = replace(gateway, 0, "first", "first.example")
    eventually(lambda: shown(gateway) == new, what="the mended certificate")


@pytest.mark.parametrize("damage", ["readable by others", "nonsense", "gone"])
def test_a_gateway_does_not_start_with_a_certificate_that_cannot_be_used(backend, damage):
    gateway = Gateway(("one", "one.example"), backend_port=backend.port)
    try:
        certificate, key = gateway.certificates[0]
        {"readable by others": lambda: key.chmod(0o640), "nonsense": lambda: key.write_text("x"),
         "gone": certificate.unlink}[damage]()
        gateway.launch()
        assert gateway.process.wait(timeout=30) == 1
        said = gateway.text()
        assert str(certificate if damage == "gone" else key) in said and "Fatal" not in said
    finally:
        gateway.close()


def test_a_section_without_certificates_is_refused(backend):
    gateway = Gateway(backend_port=backend.port)
    try:
        gateway.config.write_text(gateway.config.read_text() + "\n[ingress.tls]\nport = 1\n")
        gateway.launch()
        assert gateway.process.wait(timeout=30) == 1 and "ingress.tls" in gateway.text()
    finally:
        gateway.close()


def test_plain_text_to_the_secure_port_is_no_request(gateway, backend):
    before = len(backend.seen)
    with socket.create_connection(("127.0.0.1", gateway.secure_port), timeout=15) as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: h\r\n{ROUTE}: {gateway.route}\r\n\r\n".encode())
        came = b""
        try:
            while data := raw.recv(65536):
                came += data
        except ConnectionError:
            pass
    assert b"HTTP/1.1" not in came and len(backend.seen) == before


def test_a_web_socket_of_http_1_passes_through_tls(gateway):
    with shake(gateway, protocols=["http/1.1"]) as client:
        client.sendall((f"GET /ws HTTP/1.1\r\nHost: h\r\n{ROUTE}: {gateway.route}\r\nConnection: Upgrade\r\n"
                        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
        came = b""
        while not came.endswith(b"welcome"):
            came += client.recv(65536)
        assert came.startswith(b"HTTP/1.1 101") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in came
        client.sendall(b"text")
        assert client.recv(100) == b"[text]"


def test_without_tls_there_is_no_second_listener(backend):
    gateway = Gateway(backend_port=backend.port)
    try:
        gateway.start()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", gateway.secure_port)) != 0
    finally:
        gateway.close()


def test_a_termination_lets_streams_finish_and_says_goodbye(gateway, backend):
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", "/events"), (ROUTE, gateway.route)]
    with RawClient(gateway) as client, shake(gateway, protocols=["http/1.1"]) as idle:
        ask(idle, gateway)
        client.send(frame(1, 5, 1, hpack.Encoder().encode(fields)))
        backend.events.put("one")
        while b"one" not in client.bodies.get(1, b""):
            assert client.step()
        gateway.terminate()
        while client.away is None:
            assert client.step()
        assert client.away == 0 and client.is_open and idle.recv(100) == b""
        backend.events.put("two")
        backend.events.put(None)
        assert client.status(1) == 200 and b"two" in client.bodies[1]
        assert client.goaway() == 0 and gateway.process.wait(timeout=15) == 0


def test_flags_say_the_same_as_the_file(backend):
    gateway = Gateway(backend_port=backend.port)
    try:
        certificate, key = make_certificate(gateway.folder, "flag", "flag.example")
        gateway.flags = ["--tls-port", str(gateway.secure_port), "--tls-certificate", f"{certificate}:{key}"]
        gateway.start()
        assert shown(gateway, "flag.example") == der(certificate)
    finally:
        gateway.close()
