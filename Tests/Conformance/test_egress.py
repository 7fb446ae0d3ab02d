"""What a sandbox reaches, and how that is changed while it runs (docs/wire.md#policy)."""

import threading

import httpx
import pytest
from opensandbox.models.sandboxes import NetworkPolicy, NetworkRule
from support.server import deny_but
from support.inside import exit_code, fetches, resolves, say
from support.waiting import eventually

# Keeps one connection to the echo server open; says what comes back for each line of /tmp/in, and how it ended.
KEEPER = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], 7), 5)
s.settimeout(20)
print("open", flush=True)
try:
    while True:
        s.sendall(b"ping\\n")
        if not s.recv(100): raise OSError("closed")
        print("pong", flush=True)
        time.sleep(0.05)
except OSError as error:
    print("dead", error, flush=True)
"""


def allow(target):
    return NetworkRule(action="allow", target=target)


def deny(target):
    return NetworkRule(action="deny", target=target)


class Keeper:
    """A connection from inside that stays open, and what became of it."""

    def __init__(self, sandbox, host):
        from opensandbox.models.execd import RunCommandOpts
        self.sandbox = sandbox
        sandbox.files.write_file("/tmp/keeper.py", KEEPER)
        self.id = sandbox.commands.run(
            f"exec python3 /tmp/keeper.py {host}", opts=RunCommandOpts(background=True)).id
        eventually(lambda: "pong" in self.text(), what="the connection")

    def text(self):
        return self.sandbox.commands.get_background_command_logs(self.id).content

    def is_dead(self):
        return "dead" in self.text()

    def goes_on(self):
        before = self.text().count("pong")
        return eventually(lambda: self.text().count("pong") > before, what="another answer")


def test_an_allowed_name_opens_its_addresses_of_both_families(create, world):
    sandbox = create(network_policy=deny_but("one.example"))
    say(sandbox, "getent ahosts one.example")
    for url in ("http://one.example/", f"http://{world.one}/", f"http://[{world.one_v6}]/"):
        assert fetches(sandbox, url), url


def test_a_name_that_is_not_allowed_is_not_even_asked_for(create, world):
    sandbox = create(network_policy=deny_but("one.example"))
    before = world.names.asked["two.example"], world.names.asked["secret.two.example"]
    assert not resolves(sandbox, "two.example")
    assert not resolves(sandbox, "secret.two.example")
    assert before == (world.names.asked["two.example"], world.names.asked["secret.two.example"])
    assert resolves(sandbox, "one.example")


def test_a_raw_address_is_refused_at_once_in_both_families(create, world):
    sandbox = create(network_policy=deny_but("one.example"))
    heard = world.heard(world.two), world.heard(world.two_v6)
    for address in (world.two, world.two_v6):
        assert exit_code(sandbox, f"timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/80'") == 1, "it hung, or it connected"
    assert heard == (world.heard(world.two), world.heard(world.two_v6))


def test_another_resolver_is_answered_by_the_guard(create, world):
    sandbox = create(network_policy=deny_but("one.example"))
    sandbox.files.write_file("/tmp/ask.py", ASK)
    for server in (world.two, world.two_v6):
        for transport in ("udp", "tcp"):
            assert say(sandbox, f"python3 /tmp/ask.py {server} {transport} one.example") == f"0 {world.one}"
            assert say(sandbox, f"python3 /tmp/ask.py {server} {transport} two.example").split()[0] in ("3", "5")
    assert not any(event.endswith(" 53") for event in world.events)


ASK = """
import socket, struct, sys
server, transport, name = sys.argv[1:]
query = struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"".join(
    bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\\0" + struct.pack("!HH", 1, 1)
family = socket.AF_INET6 if ":" in server else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
s.settimeout(5)
s.connect((server, 53))
if transport == "udp":
    s.send(query)
    answer = s.recv(4096)
else:
    s.sendall(struct.pack("!H", len(query)) + query)
    answer = s.recv(struct.unpack("!H", s.recv(2, socket.MSG_WAITALL))[0], socket.MSG_WAITALL)
code, count = answer[3] & 15, struct.unpack("!H", answer[6:8])[0]
address = ""
if count:
    address = ".".join(str(byte) for byte in answer[len(query) + 12:len(query) + 16])
print(code, address)
"""


def test_other_protocols_to_an_address_outside_are_closed(create, world):
    before = world.heard(f"udp {world.two} 7")
    sandbox = create(network_policy=deny_but("one.example"))
    probe = ("python3 -c \"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); "
             "s.connect(('{}', 7)); s.send(b'x'); s.recv(9)\"")
    assert exit_code(sandbox, probe.format(world.two)) == 1
    assert resolves(sandbox, "one.example") and exit_code(sandbox, probe.format(world.one)) == 0
    assert world.heard(f"udp {world.two} 7") == before


def test_an_alias_opens_the_address_it_leads_to(create):
    sandbox = create(network_policy=deny_but("alias.example"))
    assert fetches(sandbox, "http://alias.example/")
    assert not resolves(sandbox, "one.example")


def test_a_wildcard_holds_for_what_is_beneath_and_not_for_itself(create, world):
    world.names.add("wild.example", world.two)
    sandbox = create(network_policy=deny_but("*.wild.example"))
    assert fetches(sandbox, "http://deep.wild.example/")
    assert not resolves(sandbox, "wild.example") and not resolves(sandbox, "notwild.example")


def test_an_allowed_name_cannot_lead_inside(create):
    sandbox = create(network_policy=deny_but("inside.example"))
    assert not resolves(sandbox, "inside.example")


def test_addresses_and_blocks_can_be_allowed(create, world):
    sandbox = create(network_policy=deny_but(world.two, f"{world.two_v6}/128"))
    assert fetches(sandbox, f"http://{world.two}/") and fetches(sandbox, f"http://[{world.two_v6}]/")
    assert not fetches(sandbox, f"http://{world.three}/")


def test_without_a_policy_everything_outside_is_open(sandbox, world):
    for url in ("http://one.example/", f"http://{world.two}/", f"http://[{world.two_v6}]/"):
        assert fetches(sandbox, url), url


def test_allow_by_default_denies_what_is_named(create, world):
    sandbox = create(network_policy=NetworkPolicy(defaultAction="allow", egress=[deny("two.example")]))
    assert fetches(sandbox, "http://one.example/")
    assert not resolves(sandbox, "two.example")


def test_a_policy_is_read_and_changed_while_the_sandbox_runs(create, world):
    sandbox = create(network_policy=deny_but("one.example"))
    policy = sandbox.get_egress_policy()
    assert policy.default_action == "deny" and [(r.action, r.target) for r in policy.egress] == [("allow", "one.example")]
    sandbox.patch_egress_rules([allow("two.example")])
    assert fetches(sandbox, "http://two.example/") and fetches(sandbox, "http://one.example/")
    assert [r.target for r in sandbox.get_egress_policy().egress] == ["two.example", "one.example"]
    sandbox.patch_egress_rules([deny("two.example")])
    assert not resolves(sandbox, "two.example") and not fetches(sandbox, f"http://{world.two}/")
    assert [(r.action, r.target) for r in sandbox.get_egress_policy().egress] == [
        ("deny", "two.example"), ("allow", "one.example")]
    sandbox.delete_egress_rules(["one.example", "never.example"])
    assert not fetches(sandbox, f"http://{world.one}/")
    assert [r.target for r in sandbox.get_egress_policy().egress] == ["two.example"]


@pytest.mark.parametrize("change", [
    lambda sandbox: sandbox.patch_egress_rules([deny("one.example")]),
    lambda sandbox: sandbox.delete_egress_rules(["one.example"]),
], ids=["denied", "removed"])
def test_an_open_connection_dies_with_its_name_and_others_live(create, change):
    sandbox = create(network_policy=deny_but("one.example", "three.example"))
    revoked, kept = Keeper(sandbox, "one.example"), Keeper(sandbox, "three.example")
    change(sandbox)
    eventually(revoked.is_dead, what="the end of the connection")
    assert kept.goes_on() and not kept.is_dead()


def test_the_policy_api_needs_its_token(create):
    sandbox = create(network_policy=deny_but("one.example"))
    endpoint = sandbox.get_endpoint(18080)
    url = f"http://{endpoint.endpoint}/policy"
    headers = dict(endpoint.headers)
    answer = httpx.get(url, headers=headers)
    assert answer.status_code == 200
    assert answer.json()["policy"]["defaultAction"] == "deny" and answer.json()["mode"] == "enforcing"
    token = headers.pop("OPENSANDBOX-EGRESS-AUTH")
    assert httpx.get(url, headers=headers).status_code == 401
    assert httpx.get(url, headers={**headers, "OPENSANDBOX-EGRESS-AUTH": token[:-1] + "!"}).status_code == 401
    other = create(network_policy=deny_but("two.example"))
    stolen = other.get_endpoint(18080).headers["OPENSANDBOX-EGRESS-AUTH"]
    assert httpx.get(url, headers={**headers, "OPENSANDBOX-EGRESS-AUTH": stolen}).status_code == 401


@pytest.mark.parametrize("method, body", [
    ("PATCH", b""), ("PATCH", b"[]"), ("PATCH", b"{"), ("PATCH", b'[{"action":"maybe","target":"x.example"}]'),
    ("PATCH", b'[{"action":"allow","target":"a b"}]'), ("DELETE", b"[]"), ("DELETE", b""),
    ("PUT", b'{"defaultAction":"open"}'), ("PUT", b'{"egress":[{"action":"allow"}]}'),
])
def test_a_change_that_is_not_understood_changes_nothing(create, method, body):
    sandbox = create(network_policy=deny_but("one.example"))
    endpoint = sandbox.get_endpoint(18080)
    url = f"http://{endpoint.endpoint}/policy"
    before = httpx.get(url, headers=endpoint.headers).json()
    answer = httpx.request(method, url, headers=endpoint.headers, content=body)
    assert answer.status_code == 400 and answer.text
    assert httpx.get(url, headers=endpoint.headers).json() == before


def test_a_policy_is_replaced_as_a_whole_and_an_empty_one_denies_everything(create):
    sandbox = create(network_policy=deny_but("one.example"))
    endpoint = sandbox.get_endpoint(18080)
    url = f"http://{endpoint.endpoint}/policy"
    policy = {"defaultAction": "deny", "egress": [{"action": "allow", "target": "two.example"}]}
    assert httpx.put(url, headers=endpoint.headers, json=policy).status_code == 200
    assert fetches(sandbox, "http://two.example/") and not resolves(sandbox, "one.example")
    assert httpx.put(url, headers=endpoint.headers).status_code == 200
    assert httpx.get(url, headers=endpoint.headers).json()["mode"] == "deny_all"
    assert not resolves(sandbox, "two.example")


def test_the_lifecycle_api_changes_policies_with_its_key_alone(create, api):
    sandbox = create(network_policy=deny_but("one.example"))
    path = f"/v1/sandboxes/{sandbox.id}/networkpolicy"
    assert api.get(path).json()["policy"]["egress"] == [{"action": "allow", "target": "one.example"}]
    assert api.patch(path, json=[{"action": "allow", "target": "two.example"}]).status_code == 200
    assert fetches(sandbox, "http://two.example/")
    answer = api.request("DELETE", path, json=["two.example"])
    assert answer.status_code == 200 and not resolves(sandbox, "two.example")
    answer = api.request("DELETE", path, json=["two.example"])
    assert answer.status_code == 200 and answer.json()["reason"] == "no matching targets found"
    assert api.put(path, json={"defaultAction": "allow"}).json()["mode"] == "allow_all"
    assert fetches(sandbox, "http://three.example/")


def refused(answer, code):
    assert answer.status_code == 400 and answer.json()["code"] == code, answer.text


def targets(sandbox):
    return [(rule.action, rule.target) for rule in sandbox.get_egress_policy().egress]


def test_ports_protocols_and_presets_pass_through_the_official_client(create, world):
    """It knows `action` and `target` alone, and drops every other field."""
    world.names.add("pypi.org", world.three)
    rules = [deny("*:7/udp"), allow("One.example:80"), allow(f"{world.two}:80/tcp"), allow(f"[{world.two_v6}]:80"),
             allow("preset:pypi")]
    sandbox = create(network_policy=NetworkPolicy(defaultAction="deny", egress=rules))
    assert targets(sandbox) == [(rule.action, rule.target) for rule in rules]
    for url in ("http://one.example/", f"http://{world.two}/", f"http://[{world.two_v6}]/", "http://pypi.org/"):
        assert fetches(sandbox, url), url

    def opens(host, port):
        return exit_code(sandbox, f"timeout 5 bash -c 'exec 3<>/dev/tcp/{host}/{port}'") == 0

    assert not opens(world.one, 7) and not opens(world.two, 7) and not opens(world.two_v6, 7)
    sandbox.patch_egress_rules([allow("one.example:7")])
    assert opens("one.example", 7) and fetches(sandbox, "http://one.example/"), "another port is another target"
    sandbox.patch_egress_rules([deny("one.example:80")])
    assert not fetches(sandbox, "http://one.example/") and opens("one.example", 7)
    sandbox.delete_egress_rules(["preset:pypi", "one.example:80"])
    assert not resolves(sandbox, "pypi.org")
    assert targets(sandbox) == [("allow", "one.example:7"), ("deny", "*:7/udp"), ("allow", f"{world.two}:80/tcp"),
                                ("allow", f"[{world.two_v6}]:80")]


@pytest.mark.parametrize("target", ["one.example:", "one.example:http", "https://one.example", "preset:none", "*"])
def test_a_text_that_means_nothing_is_refused_by_the_official_client_aloud(create, target):
    sandbox = create(network_policy=deny_but("one.example"))
    with pytest.raises(Exception, match="target|preset"):
        sandbox.patch_egress_rules([deny(target)])
    assert targets(sandbox) == [("allow", "one.example")]


def test_rules_that_the_client_does_not_know_are_read_by_it_as_what_they_mean(create, api):
    sandbox = create()
    path = f"/v1/sandboxes/{sandbox.id}/networkpolicy"
    sent = {"defaultAction": "allow", "egress": [{"action": "deny", "ports": [25]}, {"preset": "pypi"}]}
    answer = api.put(path, json=sent)
    assert answer.status_code == 200, answer.text
    assert answer.json()["policy"]["egress"] == [
        {"action": "deny", "ports": [25], "target": "*:25"},
        {"action": "allow", "preset": "pypi", "target": "preset:pypi"}]
    assert targets(sandbox) == [("deny", "*:25"), ("allow", "preset:pypi")]
    assert api.put(path, json=answer.json()["policy"]).json() == answer.json(), "what was answered can be sent"


def test_fifty_changes_at_once_lose_nothing(create, server):
    sandbox = create(network_policy=deny_but("one.example"))
    path = f"/v1/sandboxes/{sandbox.id}/networkpolicy"
    statuses = []

    def change(number):
        with server.api as client:
            rule = [{"action": "allow", "target": f"host{number}.example"}]
            statuses.append(client.patch(path, json=rule).status_code)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 50
    targets = {rule.target for rule in sandbox.get_egress_policy().egress}
    assert targets == {"one.example"} | {f"host{number}.example" for number in range(50)}


def test_what_the_guard_sees_is_told_to_whoever_has_the_key(create, api, world):
    sandbox = create(network_policy=deny_but("one.example", "*.wild.example"))
    path = f"/v1/sandboxes/{sandbox.id}/networkpolicy"
    assert fetches(sandbox, "http://one.example/") and not resolves(sandbox, "two.example")
    # An address that no name has opened: it is refused by the kernel, not by the filter of names.
    assert exit_code(sandbox, f"timeout 5 bash -c 'exec 3<>/dev/tcp/{world.two}/4711'") != 0

    def events():
        page = api.get(f"{path}/events", params={"limit": 256})
        assert page.status_code == 200 and page.headers["content-type"] == "application/json", page.text
        assert page.json()["enforced"] is True and page.json()["lost"] == 0
        return page.json()["events"]

    refused = eventually(
        lambda: next((event for event in events() if event["event"] == "packetsRefused"), None), what="the refused packet")
    assert (refused["protocol"], refused["address"], refused["port"]) == ("tcp", world.two, 4711)
    assert (refused["verdict"], refused["reason"], refused["kind"]) == ("deny", "default", "policy")
    assert refused["sourcePort"] > 0 and refused["source"] and refused["count"] >= 1 and refused["sandbox"] == sandbox.id
    assert {("nameAllowed", "one.example"), ("nameDenied", "two.example")} <= {
        (event["event"], event.get("name")) for event in events()}
    first = api.get(f"{path}/events", params={"limit": 1}).json()
    rest = api.get(f"{path}/events", params={"after": first["next"]}).json()["events"]
    assert [*first["events"], *rest][:2] == events()[:2], "a page goes on where the last one ended"

    with api.stream("GET", f"{path}/events", timeout=30) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        lines = stream.iter_lines()
        assert any(line == "event: nameDenied" for line in lines)
        assert not resolves(sandbox, "three.example")
        assert any('"name":"three.example"' in line for line in lines)


def test_explain_and_suggestion_are_asked_with_the_key(create, api, world):
    sandbox = create(network_policy=deny_but("one.example", "*.wild.example"))
    path = f"/v1/sandboxes/{sandbox.id}/networkpolicy"

    def explain(**question):
        answer = api.get(f"{path}/explain", params=question)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert fetches(sandbox, "http://one.example/")
    told = explain(target="one.example", port=80, protocol="tcp")
    assert (told["verdict"], told["reason"], told["index"], told["enforced"]) == ("allow", "rule", 0, True)
    steps = {step["step"]: step for step in told["path"]}
    assert set(steps) == {"name", "aliases", "answer", "addresses", "traffic", "budget"}
    assert world.one in steps["addresses"]["text"] and steps["addresses"]["verdict"] == "allow"
    assert explain(target="wild.example")["hints"] == [
        "rule 1, allow *.wild.example, does not include wild.example itself: allow wild.example, too"]
    assert explain(target="169.254.169.254")["reason"] == "guardrail"
    api.patch(path, json=[{"action": "allow", "target": "alias.example"}]).raise_for_status()
    assert resolves(sandbox, "alias.example")
    steps = {step["step"]: step["text"] for step in explain(target="alias.example")["path"]}
    assert "alias.example -> one.example" in steps["aliases"] and "by itself is allowed by rule" in steps["aliases"]
    refused(api.get(f"{path}/explain"), "SANDBOX::INVALID_PARAMETER")
    refused(api.get(f"{path}/explain", params={"target": "a b"}), "SANDBOX::INVALID_PARAMETER")
    refused(api.get(f"{path}/events", params={"limit": 0}), "SANDBOX::INVALID_PARAMETER")

    observed = {"defaultAction": "deny", "mode": "observe"}
    status = api.put(path, json=observed).json()
    assert status["mode"] == "observing" and "nothing of its policy is enforced" in status["reason"]
    # What the SDK shows is rules and the default action.
    assert [rule.target for rule in sandbox.get_egress_policy().egress] == ["mode:observe"]
    assert fetches(sandbox, "http://two.example/")
    told = explain(target="two.example")
    assert told["verdict"] == "deny" and told["enforced"] is False and "observed" in told["hints"][0]
    assert api.get(f"{path}/events", params={"limit": 1}).json()["enforced"] is False
    suggested = api.get(f"{path}/suggestion").json()
    assert {"action": "allow", "target": "two.example:80/tcp"} in suggested["egress"], "with the port that was used"
    assert (suggested["existing"], suggested["unused"], suggested["enforced"]) == ([], [], False)
    assert api.put(path, json=suggested).json()["mode"] == "enforcing", "what is suggested can be sent"
    assert fetches(sandbox, "http://two.example/")
    enforced = api.get(f"{path}/suggestion").json()
    assert enforced["existing"] == [rule["target"] for rule in suggested["egress"]] and "enforced" not in enforced
