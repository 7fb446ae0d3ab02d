"""A security engineer must say yes: looks at the machine, checks a policy, attacks, and wants to see each attempt (docs/cookbook.md,
SECURITY.md)."""

import json
import time
from datetime import timedelta

import httpx
from opensandbox import SandboxSync
from opensandbox.models.execd import RunCommandOpts
from support.inside import exit_code, fetches, resolves, start_server
from support.pages import Reader
from support.server import IMAGE
from support.waiting import eventually

PAGE_SERVER = "import http.server\nhttp.server.test(http.server.SimpleHTTPRequestHandler, port=8000, bind='0.0.0.0')\n"
# A connection that says so when it ends.
HELD = "exec 3<>/dev/tcp/{}/7; echo open; cat <&3; echo over"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_sandbox_is_attacked_watched_and_shut(installed, world, tmp_path):
    server = installed(audit_log=f'"{tmp_path}/api.log"', egress={"audit_log": f'"{tmp_path}/guard.log"'})
    reader = Reader(server, tmp_path)

    # The machine, and a policy before there is a sandbox; what is written wrongly is told from the right.
    assert "problem" not in reader.type("sallyport doctor")
    policy = tmp_path / "policy.json"
    policy.write_text('{"egress": [{"action": "allow", "target": "one.example"}]}')
    assert "allowed by rule" in reader.type("sallyport policy check policy.json --target one.example:443")
    assert "denied by default" in reader.type("sallyport policy check policy.json --target www.one.example", status=1)
    assert "no policy opens" in reader.type(
        "echo '{\"defaultAction\": \"allow\"}' | sallyport policy check - --target 169.254.169.254:80", status=1)
    for wrong, right in (("10.0.0.1/8", "10.0.0.0/8"), ("https://x.example/path", "write x.example, or x.example:443")):
        text = json.dumps({"egress": [{"action": "allow", "target": wrong}]})
        assert right in reader.type(f"echo '{text}' | sallyport policy check -", status=1)

    name = reader.type(f"sallyport sandbox create --policy policy.json --timeout 10m {IMAGE}").strip()
    sandbox = SandboxSync.connect(name, connection_config=server.connection())

    # The control, then the attempts. None gets out.
    before = world.heard(world.two), world.heard(f"udp {world.three} 7")
    assert fetches(sandbox, "http://one.example/")
    assert not resolves(sandbox, "two.example")
    assert not fetches(sandbox, f"http://{world.two}/")
    assert not fetches(sandbox, "http://169.254.169.254/latest/meta-data/")
    assert exit_code(sandbox, f"python3 -c \"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); "
                              f"s.connect(('{world.three}', 7)); s.send(b'x'); s.recv(9)\"") != 0
    assert (world.heard(world.two), world.heard(f"udp {world.three} 7")) == before

    # Each is seen: in the events, in the guard's audit log, in the metrics, and explained.
    def seen(events):
        return {(event["event"], event.get("name") or event.get("address"), event.get("port")) for event in events}

    wanted = {("nameDenied", "two.example", None), ("packetsRefused", world.two, 80), ("packetsRefused", "169.254.169.254", 80),
              ("packetsRefused", world.three, 7)}
    path = f"/v1/sandboxes/{name}/networkpolicy"
    eventually(lambda: wanted <= seen(server.api.get(f"{path}/events?limit=256").json()["events"]), what="the events")
    eventually(lambda: wanted <= seen(lines(tmp_path / "guard.log")), what="the audit log")
    assert "sallyport_egress_packets_refused_total" in server.api.get("/metrics").text
    assert "denied by default" in reader.type(f"sallyport policy explain {name} two.example", status=1)
    assert "no policy opens" in reader.type(f"sallyport policy explain {name} 169.254.169.254", status=1)

    # A change opens at once, and cuts exactly what it takes back.
    reader.type(f"sallyport policy patch {name} --allow three.example")
    held = {host: sandbox.commands.run(HELD.format(host), opts=RunCommandOpts(background=True)).id for host in ("one.example", "three.example")}

    def told(host):
        return sandbox.commands.get_background_command_logs(held[host]).content.split()

    eventually(lambda: all(told(host) == ["open"] for host in held), what="both connections")
    reader.type(f"sallyport policy patch {name} --remove three.example")
    eventually(lambda: "over" in told("three.example"), what="the end of what was revoked")
    assert told("one.example") == ["open"]

    # A key that only looks.
    key = reader.type("sallyport key create auditor --scope read 2>/dev/null").strip()

    def status():
        return httpx.get(f"{server.base}/v1/sandboxes", headers={"OPEN-SANDBOX-API-KEY": key}).status_code

    eventually(lambda: status() == 200, what="the key")
    looking = Reader(server, tmp_path / "auditor", OPEN_SANDBOX_API_KEY=key)
    assert name in looking.type("sallyport sandbox list -o name") and "one.example" in looking.type(f"sallyport policy get {name}")
    for words in (f"sandbox kill {name}", f"policy patch {name} --allow two.example", f"sandbox create {IMAGE}"):
        looking.type(f"sallyport {words}", status=77)
    assert not resolves(sandbox, "two.example")
    reader.type("sallyport key revoke auditor")
    eventually(lambda: status() == 401, what="the revocation")
    refused = [line for line in lines(tmp_path / "api.log") if line.get("key") == "auditor"]
    assert {line["code"] for line in refused} == {"INSUFFICIENT_SCOPE"} and key not in (tmp_path / "api.log").read_text()

    # A port for somebody else: once, for a minute, and for nobody any more.
    closed = server.create(secure_access=True, timeout=timedelta(minutes=10))
    start_server(closed, PAGE_SERVER)
    signed = closed.get_signed_endpoint(8000, int(time.time()) + 60)
    route = signed.headers["OpenSandbox-Ingress-To"]

    def visit(route):
        return httpx.get(f"http://{signed.endpoint}/", headers={"OpenSandbox-Ingress-To": route}).status_code

    mint = f"sallyport token mint --sandbox {closed.id} --port 8000 --once --expires"
    assert "is in the past" in reader.type(f"{mint} 5", status=64)
    once = reader.type(f"{mint} $(($(date +%s) + 60))").strip()
    assert "for one use" in reader.type(f"sallyport token verify {once}")
    assert (visit(once), visit(once)) == (200, 401)
    assert "it has been used" in reader.type(f"sallyport token verify {once}", status=1)
    assert visit(route) == 200 and visit(route.replace("-8000-", "-8001-")) == 401 and visit(f"{closed.id}-8000") == 401
    reader.type(f"sallyport token verify {route}")
    assert server.api.post(f"/v1/sandboxes/{closed.id}/endpoints/8000/revoke").status_code == 204
    assert visit(route) == 401
    reader.type(f"sallyport token verify {route}", status=1)
    sandbox.close()
    closed.close()
