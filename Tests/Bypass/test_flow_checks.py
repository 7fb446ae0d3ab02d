"""Names on connections: E4, E5 and E6, with OpenSSL at both ends, where the guard checks them and where it does not."""

import socket
import ssl
import subprocess

import pytest
from arena import FOUR, ONE, ONE_V6, TWO, TWO_V6, deny_but, page

REFUSED = ("UNRECOGNIZED_NAME", "ALERT_ACCESS_DENIED", "refused", "reset")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=one.example", "-addext", "subjectAltName=DNS:one.example,DNS:tenant.example,DNS:two.example",
         "-keyout", folder / "key", "-out", folder / "certificate"], check=True, capture_output=True)
    return folder


class Tenants:
    """One address with many names, as at a CDN: says by which name it was asked."""

    def __init__(self, arena, certificate):
        self.asked = []
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate / "certificate", certificate / "key")
        context.sni_callback = lambda connection, name, _: self.asked.append(name)

        def secure(connection):
            with context.wrap_socket(connection, server_side=True) as stream:
                stream.sendall(b"for " + self.asked[-1].encode())

        def plain(connection):
            head = connection.recv(4096).decode()
            self.asked.append(next(line for line in head.split("\r\n") if line.lower().startswith("host:"))[5:].strip())
            body = f"for {self.asked[-1]}"
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

        self.servers = [
            arena.listen(socket.SOCK_STREAM, address, port, handle)
            for address in (ONE, TWO, FOUR, ONE_V6, TWO_V6) for port, handle in ((443, secure), (80, plain))]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.close()


def handshake(attacker, certificate, address, name):
    """What the server says over TLS, or why there was no TLS."""
    context = ssl.create_default_context(cafile=certificate / "certificate")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with attacker.socket(family=family) as client:
        try:
            client.connect((address, 443))
            with context.wrap_socket(client, server_hostname=name) as stream:
                return stream.recv(100).decode()
        except OSError as error:
            return str(error)


def fetch(attacker, address, host):
    done = attacker.run("curl", "-s", "-m", "5", "-H", f"Host: {host}", f"http://{address}/")
    return done.stdout


@pytest.mark.parametrize("address, kind", [(ONE, "A"), (ONE_V6, "AAAA")])
def test_E4_another_tenants_name_on_an_allowed_address_is_refused(checking, arena, certificate, address, kind):
    with Tenants(checking, certificate) as tenants:
        inside, free = checking.attacker(deny_but("one.example")), checking.attacker(guarded=False)
        inside.asks("one.example", kind)
        assert handshake(inside, certificate, address, "one.example") == "for one.example"
        assert any(word in handshake(inside, certificate, address, "tenant.example") for word in REFUSED)
        assert tenants.asked == ["one.example"]
        assert handshake(free, certificate, address, "tenant.example") == "for tenant.example"
    # Where only addresses are checked this gets through, as the documentation says.
    with Tenants(arena, certificate):
        inside = arena.attacker(deny_but("one.example"))
        inside.asks("one.example", kind)
        assert handshake(inside, certificate, address, "tenant.example") == "for tenant.example"
        inside.close()


@pytest.mark.parametrize("own, other, kind", [(ONE, TWO, "A"), (ONE_V6, TWO_V6, "AAAA")])
def test_E5_an_allowed_name_does_not_open_an_address_of_the_attackers(checking, arena, certificate, own, other, kind):
    rules = deny_but("one.example", "two.example")
    with Tenants(checking, certificate) as tenants:
        inside, free = checking.attacker(rules), checking.attacker(guarded=False)
        inside.asks("one.example", kind), inside.asks("two.example", kind)
        assert any(word in handshake(inside, certificate, other, "one.example") for word in REFUSED)
        assert "refused" in handshake(inside, certificate, FOUR, "one.example"), "never learned"
        assert not tenants.asked
        assert handshake(inside, certificate, own, "one.example") == "for one.example"
        assert handshake(free, certificate, other, "one.example") == "for one.example"
    with Tenants(arena, certificate):
        inside = arena.attacker(rules)
        inside.asks("two.example", kind)
        assert handshake(inside, certificate, other, "one.example") == "for one.example"
        inside.close()


def test_E6_a_host_other_than_the_one_that_was_resolved_is_refused(checking, arena, certificate):
    with Tenants(checking, certificate) as tenants:
        inside, free = checking.attacker(deny_but("one.example")), checking.attacker(guarded=False)
        inside.asks("one.example")
        assert fetch(inside, ONE, "one.example") == "for one.example"
        for host in ("tenant.example", "one.example.tenant.example", "one.example.", ONE):
            assert "egress policy" in fetch(inside, ONE, host)
        # A second request on the connection, behind an allowed one.
        with inside.socket() as client:
            client.connect((ONE, 80))
            client.sendall(b"".join(
                b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host for host in (b"one.example", b"tenant.example")))
            while client.recv(4096):
                pass
        assert tenants.asked == ["one.example", "one.example"]
        assert fetch(free, ONE, "tenant.example") == "for tenant.example"
    with Tenants(arena, certificate):
        inside = arena.attacker(deny_but("one.example"))
        inside.asks("one.example")
        assert fetch(inside, ONE, "tenant.example") == "for tenant.example"
        inside.close()


def listeners(attacker, kind):
    """Ports on loopback, of TCP or UDP."""
    lines = attacker.run("ss", f"-Hl{kind}n").stdout.splitlines()
    return {int(line.split()[3].rpartition(":")[2]) for line in lines if "127.0.0.1:" in line}


@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_E18_who_dials_the_check_itself_is_refused_at_once(checking, mode):
    inside = checking.attacker({"mode": mode, **deny_but("one.example")})
    port, = listeners(inside, "t") - listeners(inside, "u")
    hello = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="one.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with inside.socket(timeout=5) as flow:
        try:
            flow.connect(("127.0.0.1", port))
            flow.sendall(hello.read())
            said = flow.recv(100)
        except ConnectionError:
            said = b""
        assert not said


def test_E17_a_tunnel_through_an_allowed_proxy_is_refused_where_names_are_checked(checking, arena):
    def tunnel(attacker, arena):
        attacker.asks("one.example")
        with arena.listen(socket.SOCK_STREAM, ONE, 3128, page) as proxy:
            done = attacker.run("curl", "-sSp", "-m", "5", "-x", f"http://{ONE}:3128", "http://two.example/")
            return proxy.met, done.stdout

    assert tunnel(checking.attacker(deny_but("one.example")), checking)[0] == 0
    inside, free = arena.attacker(deny_but("one.example")), arena.attacker(guarded=False)
    # Whoever runs the proxy is allowed, and may pass on what he likes: where only addresses are checked this is so.
    assert tunnel(inside, arena)[0] == tunnel(free, arena)[0] == 1
    inside.close(), free.close()


@pytest.mark.parametrize("address, kind", [(TWO, "A"), (TWO_V6, "AAAA")])
def test_E3_quic_does_not_pass_where_names_are_checked(checking, address, kind):
    inside = checking.attacker(deny_but("two.example"))
    inside.asks("two.example", kind)
    with inside.socket(socket.SOCK_DGRAM, family=socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        with pytest.raises(OSError):
            client.sendto(b"\xc0" + bytes(1199), (address, 443)), client.sendto(b"\xc0" + bytes(1199), (address, 443))
    assert not [packet for packet in inside.arrived() if packet.target == address]
