"""Published ports: ports of the machine that forward to a sandbox's (docs/networking.md)."""

import random
import subprocess

import httpx
import pytest
from support.inside import fetches, say, start_server
from support.server import AllInOneServer, deny_but
from support.waiting import eventually, patient
from test_contract import refused

SERVER = '''
import http.server
class Say(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = b"outside " + self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *words): pass
class Both(http.server.ThreadingHTTPServer):
    address_family = 10
Both(("::", 8000), Say).serve_forever()
'''
# In a test of many sandboxes no two have the same, and the first takes the first.
SIZE = 12


class Publisher(AllInOneServer):
    def __init__(self, world, options, allow=None, deny=()):
        """`options` are those of the runtime; `allow`: None for the default."""
        super().__init__(world, **options)
        self.first = random.randrange(20000, 30000)
        lists = f"deny = {list(deny)}\n" + (f"allow = {list(allow)}\n" if allow is not None else "")
        self.tables += f"[local.ports]\nfirst = {self.first}\nlast = {self.first + SIZE - 1}\n{lists}"
        self.write_configuration()

    def serving(self, publish="8000", **more):
        """A sandbox with a server on its port 8000, and where its endpoint says that it is."""
        extensions = {"ports.publish": publish, **more.pop("extensions", {})}
        sandbox = self.create(extensions=extensions, **more)
        start_server(sandbox, SERVER)
        return sandbox, self.published(sandbox)

    def published(self, sandbox, port=8000):
        host, _, at = sandbox.get_endpoint(port).endpoint.rpartition(":")
        assert host == "127.0.0.1" and self.first <= int(at) < self.first + SIZE
        return int(at)


def dial(address, port, source=None, namespace=None):
    """What answers at a port: `outside PEER`, or None."""
    host = f"[{address}]" if ":" in address else address
    words = ["curl", "-sS", "-g", "--noproxy", "*", "--connect-timeout", str(patient(2)), "--max-time", str(patient(5))]
    words += ["--interface", source] if source else []
    inside = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
    done = subprocess.run([*inside, *words, f"http://{host}:{port}/"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


@pytest.fixture(scope="module")
def publisher(world, runtime_options):
    """Everybody may connect but `two`."""
    server = Publisher(world, runtime_options, ["0.0.0.0/0", "::/0"], [world.two, world.two_v6])
    try:
        yield server.start()
    finally:
        server.tear_down()


@pytest.fixture
def serving(publisher):
    made = []

    def serving(*words, **more):
        made.append(publisher.serving(*words, **more)[0])
        return made[-1], publisher.published(made[-1])

    yield serving
    for sandbox in made:
        publisher.api.delete(f"/v1/sandboxes/{sandbox.id}")
        sandbox.close()


def outside(world, address, port, source):
    return dial(address, port, source, world.namespace)


def test_a_published_port_answers_where_the_endpoint_says_and_at_every_address_of_the_machine(publisher, serving, world):
    sandbox, port = serving()
    assert dial("127.0.0.1", port) == "outside ::ffff:169.254.1.1"
    for address in ("127.0.0.2", world.host, world.host_v6):
        assert dial(address, port), address
    # The kernel has no way from there to another link: refused at once, not in silence.
    assert dial("::1", port) is None
    assert outside(world, world.host, port, world.one) and outside(world, world.host_v6, port, world.one_v6)
    inspect = publisher.api.get(f"/v1/sandboxes/{sandbox.id}/diagnostics/inspect").text
    assert f"published: 8000/tcp at {port}" in inspect
    other = sandbox.get_endpoint(8001)
    assert not other.endpoint.endswith(f":{port}")


def test_execds_published_port_comes_with_its_token(publisher, serving):
    sandbox, _ = serving("8000, 44772")
    endpoint = sandbox.get_endpoint(44772)
    assert int(endpoint.endpoint.rpartition(":")[2]) in range(publisher.first, publisher.first + SIZE)
    assert endpoint.headers["X-EXECD-ACCESS-TOKEN"]
    assert say(sandbox, "echo through") == "through"


def test_who_is_denied_by_the_server_is_denied_whatever_a_create_allows(serving, world):
    _, port = serving(extensions={"ports.allow": "0.0.0.0/0, ::/0"})
    for address, friend, stranger in ((world.host, world.one, world.two), (world.host_v6, world.one_v6, world.two_v6)):
        assert outside(world, address, port, friend), "control"
        assert outside(world, address, port, stranger) is None


def test_the_lists_of_a_create_hold_for_both_families(serving, world):
    _, port = serving(extensions={"ports.allow": f"{world.one}, {world.one_v6}", "ports.deny": world.one_v6})
    assert outside(world, world.host, port, world.one) == "outside ::ffff:169.254.1.1"
    for address, stranger in ((world.host, world.three), (world.host_v6, world.one_v6), (world.host_v6, world.two_v6)):
        assert outside(world, address, port, stranger) is None, stranger
    assert dial("127.0.0.1", port) is None, "the machine itself is not in the list"


def test_without_lists_the_machine_itself_may_connect_and_nobody_else(world, runtime_options):
    server = Publisher(world, runtime_options)
    try:
        server.start()
        sandbox, port = server.serving(extensions={"ports.allow": "0.0.0.0/0, ::/0"})
        assert dial("127.0.0.1", port) and dial(world.host, port) and dial(world.host_v6, port)
        assert outside(world, world.host, port, world.one) is None
        assert outside(world, world.host_v6, port, world.one_v6) is None
        sandbox.close()
    finally:
        server.tear_down()


def test_a_sandbox_reaches_anothers_published_port_only_as_its_policy_and_the_list_permit(publisher, serving, world):
    _, port = serving(network_policy=deny_but("one.example"))
    gateway = f"http://169.254.1.1:{port}/"
    urls = (f"http://{world.host}:{port}/", f"http://[{world.host_v6}]:{port}/")
    denied, allowed = publisher.create(network_policy=deny_but("one.example")), publisher.create(
        network_policy=deny_but(world.host, world.host_v6, "169.254.1.1"))
    try:
        for url in urls:
            assert not fetches(denied, url), url
            assert fetches(allowed, url), url
        assert not fetches(allowed, gateway) and not fetches(allowed, f"http://[fe80::1%25eth0]:{port}/")
        _, closed = serving(extensions={"ports.deny": ", ".join(pool(publisher))})
        assert dial("127.0.0.1", closed), "control"
        for url in urls:
            assert not fetches(allowed, url.replace(str(port), str(closed))), url
    finally:
        for sandbox in (denied, allowed):
            publisher.api.delete(f"/v1/sandboxes/{sandbox.id}")
            sandbox.close()


def pool(server):
    lines = server.config.read_text().splitlines()
    return [line.split('"')[1] for line in lines if line.startswith("address_pool")]


def test_a_published_port_opens_nothing_outwards(serving, world):
    sandbox, port = serving(network_policy=deny_but("one.example"))
    assert dial("127.0.0.1", port), "control"
    assert fetches(sandbox, "http://one.example/") and not fetches(sandbox, f"http://{world.two}/")
    for address in ("127.0.0.1", "169.254.1.1", world.host):
        assert not fetches(sandbox, f"http://{address}:{port}/")


def test_a_port_goes_on_without_the_server_and_is_the_same_after_it(world, runtime_options):
    server = Publisher(world, runtime_options)
    try:
        server.start()
        sandbox, port = server.serving()
        server.kill()
        assert dial("127.0.0.1", port)
        server.start()
        assert dial("127.0.0.1", port) and server.published(sandbox) == port
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        eventually(lambda: dial("127.0.0.1", port), what="rules that another program has taken away")
        server.api.delete(f"/v1/sandboxes/{sandbox.id}")
        assert dial("127.0.0.1", port) is None
        sandbox.close()
    finally:
        server.tear_down()


def test_ports_are_released_and_a_range_that_is_used_up_says_so(publisher):
    def make(*ports):
        body = publisher.body(extensions={"ports.publish": ",".join(map(str, ports))})
        return publisher.api.post("/v1/sandboxes", json=body)

    most = range(8000, 8000 + SIZE - 2)
    for _ in range(2):
        first = make(*most)
        assert first.status_code == 202, first.text
        answer = refused(make(8000, 8001, 8002), 429, "SANDBOX::CAPACITY_EXHAUSTED")
        assert "[local.ports]" in answer["message"]
        second = make(8000, 8001)
        assert second.status_code == 202, second.text
        for made in (first, second):
            assert publisher.api.delete(f"/v1/sandboxes/{made.json()['id']}").status_code == 204


@pytest.mark.parametrize(("extensions", "word"), [
    ({"ports.publish": ""}, "not a TCP port"), ({"ports.publish": "0"}, "not a TCP port"), ({"ports.publish": "65536"}, "not a TCP port"),
    ({"ports.publish": "80/udp"}, "not a TCP port"), ({"ports.publish": "+80"}, "not a TCP port"),
    ({"ports.publish": "80,80"}, "twice"), ({"ports.publish": "18080"}, "policy"),
    ({"ports.publish": ",".join(map(str, range(1, 18)))}, "1 to 16"),
    ({"ports.allow": "10.0.0.0/8"}, "missing"), ({"ports.publish": "80", "ports.allow": "10.0.0.1/8"}, "10.0.0.0/8"),
    ({"ports.publish": "80", "ports.deny": "::ffff:192.0.2.1"}, "address block"), ({"ports.publish": "80", "ports.deny": "example.com"}, "address block"), ({"ports.publish": "80", "ports.deny": ""}, "address block"),
    ({"ports.publish": "80", "ports.allow": ",".join(["10.0.0.1"] * 33)}, "1 to 32"),
])
def test_what_cannot_be_published_is_refused_by_name(publisher, extensions, word):
    answer = refused(publisher.api.post("/v1/sandboxes", json=publisher.body(extensions=extensions)), 400, "SANDBOX::INVALID_PARAMETER")
    assert word in answer["message"]


def test_what_is_published_of_every_sandbox_is_where_the_reference_has_it(world, runtime_options):
    server = Publisher(world, runtime_options)
    server.tables += "always = [44772, 8080]\n"
    server.write_configuration()
    try:
        sandbox = server.start().create()
        start_server(sandbox, SERVER)
        execd, pages = (server.published(sandbox, port) for port in (44772, 8080))
        assert execd != pages
        behind = sandbox.get_endpoint(8000)
        assert behind.endpoint == f"127.0.0.1:{execd}/proxy/8000"
        url = f"http://{behind.endpoint}/"
        assert httpx.get(url).status_code == 401, "execd asks for its token"
        assert httpx.get(url, headers=behind.headers).text.startswith("outside ")
        assert say(sandbox, "echo through") == "through"
        secured = server.create(secure_access=True)
        assert server.api.get(f"/v1/sandboxes/{secured.id}/endpoints/44772").json()["endpoint"] == f"127.0.0.1:{server.gateway_port}"
        for made in (sandbox, secured):
            made.close()
    finally:
        server.tear_down()


def test_a_port_that_asks_nobody_is_not_published_of_a_sandbox_that_does(publisher):
    body = publisher.body(extensions={"ports.publish": "80"}, secureAccess=True)
    assert "credential" in refused(publisher.api.post("/v1/sandboxes", json=body), 400)["message"]


def test_a_server_without_a_range_publishes_nothing(server):
    body = server.body(extensions={"ports.publish": "80"})
    assert "[local.ports]" in refused(server.api.post("/v1/sandboxes", json=body), 400)["message"]
