"""What a create is refused for, and that nothing is left of it (docs/wire.md#create)."""

import http.server
import json
import threading

import pytest
from support.server import AllInOneServer, free_port
from support.waiting import eventually
from test_contract import later, refused

LONG = "a" * 64
JSON = {"Content-Type": "application/json"}

# (what is other in the body, status, code); None takes a field away.
SCHEMA = {
    "no-image": {"image": None},
    "image-and-snapshot": {"snapshotId": "x"},
    "blank-image": {"image": {"uri": "  "}},
    "image-of-a-wrong-type": {"image": "sallyport/base:latest"},
    "image-without-uri": {"image": {}},
    "half-credentials": {"image": {"uri": "x", "auth": {"username": "u"}}},
    "no-entrypoint": {"entrypoint": None},
    "empty-entrypoint": {"entrypoint": []},
    "entrypoint-of-a-wrong-type": {"entrypoint": "sleep"},
    "no-limits": {"resourceLimits": None},
    "limits-of-a-wrong-type": {"resourceLimits": {"cpu": 1}},
    "short-timeout": {"timeout": 59},
    "negative-timeout": {"timeout": -1},
    "timeout-of-a-wrong-type": {"timeout": "long"},
    "fraction-of-a-timeout": {"timeout": 60.5},
    "huge-timeout": {"timeout": 1e300},
    "timeout-of-more-than-ten-years": {"timeout": 315360001},
    "timeout-beyond-the-year-9999": {"timeout": 10**12},
    "timeout-beyond-every-clock": {"timeout": 10**18},
    "timeout-beyond-64-bits": {"timeout": 2**64},
    "misspelt-field": {"secureaccess": True},
    "misspelt-field-of-the-image": {"image": {"uri": "x", "auths": {}}},
    "misspelt-environment": {"envs": {"A": "1"}},
    "misspelt-extension": {"extensions": {"access.renew.extend.second": "300"}},
    "snapshot-of-a-wrong-type": {"snapshotId": 5},
    "lifecycle-in-the-environment": {"env": {"OPENSANDBOX_LIFECYCLE": "x"}},
    "environment-of-a-wrong-type": {"env": {"A": 1}},
    "credential-proxy-without-policy": {"credentialProxy": {"enabled": True}},
    "secure-access-of-a-wrong-type": {"secureAccess": "yes"},
    "half-platform": {"platform": {"os": "linux"}},
    "metadata-of-a-wrong-type": {"metadata": {"a": 1}},
}

RULES = {
    "reserved-metadata": ({"metadata": {"opensandbox.io/owner": "x"}}, "SANDBOX::INVALID_METADATA_LABEL"),
    "long-metadata-value": ({"metadata": {"a": LONG}}, "SANDBOX::INVALID_METADATA_LABEL"),
    "long-metadata-key": ({"metadata": {LONG: "a"}}, "SANDBOX::INVALID_METADATA_LABEL"),
    "metadata-key-with-a-space": ({"metadata": {"a b": "x"}}, "SANDBOX::INVALID_METADATA_LABEL"),
    "metadata-prefix": ({"metadata": {"Upper.Case/key": "x"}}, "SANDBOX::INVALID_METADATA_LABEL"),
    "cpu": ({"resourceLimits": {"cpu": "many"}}, "SANDBOX::INVALID_PARAMETER"),
    "no-cpu": ({"resourceLimits": {"cpu": "0"}}, "SANDBOX::INVALID_PARAMETER"),
    "negative-cpu": ({"resourceLimits": {"cpu": "-1"}}, "SANDBOX::INVALID_PARAMETER"),
    "memory": ({"resourceLimits": {"memory": "512Mib"}}, "SANDBOX::INVALID_PARAMETER"),
    "empty-memory": ({"resourceLimits": {"memory": ""}}, "SANDBOX::INVALID_PARAMETER"),
    "overflowing-memory": ({"resourceLimits": {"memory": "99999999999999999999Ti"}}, "SANDBOX::INVALID_PARAMETER"),
    "gpu": ({"resourceLimits": {"gpu": "1"}}, "SANDBOX::INVALID_PARAMETER"),
    "gpu-by-its-kubernetes-name": ({"resourceLimits": {"nvidia.com/gpu": "1"}}, "SANDBOX::INVALID_PARAMETER"),
    "misspelt-limit": ({"resourceLimits": {"memroy": "1Gi"}}, "SANDBOX::INVALID_PARAMETER"),
    "reserved-resources": ({"resourceRequests": {"cpu": "1"}}, "SANDBOX::INVALID_PARAMETER"),
    "credential-proxy": (
        {"credentialProxy": {"enabled": True}, "networkPolicy": {}}, "SANDBOX::INVALID_PARAMETER"),
    "unknown-platform": ({"platform": {"os": "plan9", "arch": "amd64"}}, "SANDBOX::INVALID_PARAMETER"),
    "windows": ({"platform": {"os": "windows", "arch": "amd64"}}, "SANDBOX::INVALID_PARAMETER"),
    "egress-environment": ({"env": {"OPENSANDBOX_EGRESS_MODE": "dns"}}, "SANDBOX::INVALID_PARAMETER"),
    "short-renewal": ({"extensions": {"access.renew.extend.seconds": "299"}}, "SANDBOX::INVALID_PARAMETER"),
    "renewal-of-words": ({"extensions": {"access.renew.extend.seconds": "long"}}, "SANDBOX::INVALID_PARAMETER"),
    "lifecycle": ({"lifecycle": {"preStart": {"command": ["true"]}}}, "SANDBOX::INVALID_PARAMETER"),
    "default-action": ({"networkPolicy": {"defaultAction": "open"}}, "SANDBOX::INVALID_PARAMETER"),
    "rule-without-target": ({"networkPolicy": {"egress": [{"action": "allow"}]}}, "SANDBOX::INVALID_PARAMETER"),
    "rule-that-is-no-name": (
        {"networkPolicy": {"egress": [{"action": "allow", "target": "a b"}]}}, "SANDBOX::INVALID_PARAMETER"),
    "unknown-action": (
        {"networkPolicy": {"egress": [{"action": "maybe", "target": "a.example"}]}}, "SANDBOX::INVALID_PARAMETER"),
    "image-that-is-no-name": ({"image": {"uri": "../../etc:x y"}}, "DOCKER::SANDBOX_IMAGE_PULL_FAILED"),
}

VOLUMES = {
    "duplicate": ([{"name": "a", "mountPath": "/a", "host": {"path": "/tmp"}}] * 2, 400),
    "relative-mount": ([{"name": "a", "mountPath": "a", "host": {"path": "/tmp"}}], 422),
    "no-backend": ([{"name": "a", "mountPath": "/a"}], 422),
    "name": ([{"name": "A_b", "mountPath": "/a", "host": {"path": "/tmp"}}], 422),
    "relative-host-path": ([{"name": "a", "mountPath": "/a", "host": {"path": "tmp"}}], 400),
    "host-path-that-is-not-allowed": ([{"name": "a", "mountPath": "/a", "host": {"path": "/etc"}}], 400),
}


class EmptyRegistry(http.server.BaseHTTPRequestHandler):
    """Speaks the distribution protocol, and knows no image."""

    def do_GET(self):
        known = self.path == "/v2/"
        body = b"{}" if known else b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *words):
        pass


@pytest.fixture
def registry():
    """The port of a registry on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), EmptyRegistry) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def nothing_new(server):
    """Fails when a test leaves anything of a sandbox behind."""
    before = server.leftovers.things()
    yield
    # What an earlier test deleted may still be on its way out: the kernel takes links apart by itself.
    eventually(lambda: server.leftovers.things() <= before, what=f"nothing beyond {before}")
    eventually(lambda: not server.leftovers.groups(), what="no empty control group")


@pytest.mark.usefixtures("nothing_new")
class TestACreateIsRefused:
    @pytest.mark.parametrize("name", SCHEMA)
    def test_when_its_schema_does_not_hold(self, api, server, name):
        answer = api.post("/v1/sandboxes", json=server.body(**SCHEMA[name]))
        for problem in refused(answer, 422)["detail"]:
            assert problem.keys() >= {"type", "loc", "msg"}

    @pytest.mark.parametrize("name", RULES)
    def test_when_a_rule_does_not_hold(self, api, server, name):
        change, code = RULES[name]
        refused(api.post("/v1/sandboxes", json=server.body(**change)), 400, code)

    def test_when_no_registry_knows_its_image(self, api, server, registry):
        uri = f"127.0.0.1:{registry}/no/such-image:1"
        answer = api.post("/v1/sandboxes", json=server.body(image={"uri": uri}))
        assert "such-image" in refused(answer, 400, "DOCKER::SANDBOX_IMAGE_PULL_FAILED")["message"]

    def test_when_its_registry_is_not_there(self, api, server):
        body = server.body(image={"uri": f"127.0.0.1:{free_port()}/any/image:1"})
        refused(api.post("/v1/sandboxes", json=body), 500, "DOCKER::SANDBOX_IMAGE_PULL_FAILED")

    @pytest.mark.parametrize("name", VOLUMES)
    def test_when_a_volume_is_wrong(self, api, server, name):
        volumes, status = VOLUMES[name]
        answer = api.post("/v1/sandboxes", json=server.body(volumes=volumes))
        assert 400 <= answer.status_code < 500 and set(answer.json()) >= {"code", "message"}
        if status == 400:
            assert answer.status_code == 400

    @pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"{}", b"5"])
    def test_when_its_body_is_no_object(self, api, body):
        refused(api.post("/v1/sandboxes", content=body, headers=JSON), 422)

    @pytest.mark.parametrize("body", [
        b"", b"{", b'{"image":', b"\xff\xfe", json.dumps({"image": {"uri": "x"}})[:-1].encode(), b'{"timeout": 1e99999}',
        b'{"timeout": 60, "timeout": 70}', b"[" * 500, b"[" * 4_000_000, b'{"a":' * 500 + b"1" + b"}" * 500,
        b"[" + b",".join([b"[" * 60 + b"]" * 60] * 30_000),
    ], ids=range(11))
    def test_when_its_body_is_not_json_that_everybody_reads_alike(self, api, body):
        refused(api.post("/v1/sandboxes", content=body, headers=JSON), 400, "INVALID_REQUEST")

    def test_when_its_body_is_too_large(self, api):
        assert api.post("/v1/sandboxes", content=b" " * (5 << 20), headers=JSON).status_code == 413

    @pytest.mark.parametrize("entrypoint", [["/no/such/program"], ["/etc/passwd"], ["no-such-program"]])
    def test_when_its_entrypoint_cannot_be_started(self, api, server, entrypoint):
        answer = api.post("/v1/sandboxes", json=server.body(entrypoint=entrypoint))
        if answer.status_code == 202:
            api.delete(f"/v1/sandboxes/{answer.json()['id']}")
        body = refused(answer, 400, "DOCKER::SANDBOX_START_FAILED")
        assert entrypoint[0] in body["message"] or "127" in body["message"] or "126" in body["message"]

    def test_when_templates_or_snapshots_are_asked_for(self, api):
        refused(api.post("/v1/sandboxes", json={"templateId": "x", "timeout": 60}), 400, "FSB::API_NOT_SUPPORTED")
        body = {"snapshotId": "x", "entrypoint": ["sleep", "1"], "resourceLimits": {}, "timeout": 60}
        refused(api.post("/v1/sandboxes", json=body), 404, "SNAPSHOT::NOT_FOUND")


def test_every_mistake_is_named_at_once(api):
    body = {"image": {}, "timeout": 1, "env": 5}
    detail = refused(api.post("/v1/sandboxes", json=body), 422)["detail"]
    assert {problem["loc"][1] for problem in detail} >= {"image", "timeout", "env", "entrypoint", "resourceLimits"}


def test_a_timeout_above_the_servers_limit_is_refused(world):
    own = AllInOneServer(world, max_sandbox_timeout_seconds=100)
    try:
        own.start()
        with own.api as client:
            refused(client.post("/v1/sandboxes", json=own.body(timeout=101)), 400, "SANDBOX::INVALID_PARAMETER")
            assert client.post("/v1/sandboxes", json=own.body(timeout=100)).status_code == 202
    finally:
        own.tear_down()


def test_a_limit_binds_renewals_and_an_ended_sandbox_has_none(world):
    own = AllInOneServer(world, max_sandbox_timeout_seconds=100)
    try:
        own.start()
        with own.api as client:
            made = client.post("/v1/sandboxes", json=own.body(timeout=100, entrypoint=["sleep", "1"])).json()
            path = f"/v1/sandboxes/{made['id']}"
            refused(client.post(path + "/renew-expiration", json=later(200)), 400, "DOCKER::INVALID_EXPIRATION")
            assert client.get(path).json()["expiresAt"] == made["expiresAt"]
            eventually(lambda: client.get(path).json()["status"]["state"] == "Terminated", what="its end")
            refused(client.post(path + "/renew-expiration", json=later(90)), 409, "DOCKER::SANDBOX_NOT_RUNNING")
    finally:
        own.tear_down()


def test_fields_that_nobody_knows_are_passed_over(api, server):
    answer = api.post("/v1/sandboxes", json=server.body(unheardOf={"a": [1]}))
    assert answer.status_code == 202
    assert api.delete(f"/v1/sandboxes/{answer.json()['id']}").status_code == 204
