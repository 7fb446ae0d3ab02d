"""A platform engineer replaces an OpenSandbox server by the package: its configuration, its clients, a backup, the end
(docs/migrating.md, docs/operations.md)."""

import json
import re
import subprocess
import tomllib
from datetime import timedelta

import httpx
from support.inside import say, start_server
from support.pages import Reader, section
from support.server import ROOT, deny_but
from support.waiting import eventually
from test_cli import in_process as osb

FILE_SERVER = "import http.server\nhttp.server.test(http.server.SimpleHTTPRequestHandler, port=8000, bind='0.0.0.0')\n"
REFERENCE = ROOT / ".build-conformance/reference/bin/opensandbox-server"


def example(folder):
    """The file that the reference's own program writes for Docker."""
    subprocess.run([ROOT / "scripts/python-environment.sh", "reference", "reference.txt"], check=True, timeout=600)
    path = folder / "example.toml"
    subprocess.run([REFERENCE, "init-config", path, "--example", "docker"], check=True, capture_output=True, timeout=60)
    return path.read_text()


def table(name, values):
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def settings_of(text):
    """What of the reference's file this server has, too, for a machine without an engine."""
    settings = tomllib.loads(text)
    own = {key: json.dumps(value) for key, value in settings["server"].items() if key not in ("host", "port")}
    return {**own, "tables": table("storage", settings["storage"]) + table("renew_intent", settings["renew_intent"])}


def test_an_opensandbox_server_is_replaced_backed_up_and_removed(installed, tmp_path):
    text = example(tmp_path)
    server = installed(**settings_of(text))
    reader = Reader(server, tmp_path)

    # The old file, as it is: everything that is not here is named at once.
    (tmp_path / "sandbox.toml").write_text(text)
    said = reader.type("sallyport serve --config sandbox.toml", status=1)
    assert all(key in said for key in ("runtime.execd_image", "docker.port_range_min", "proxy.resolve_internal")) and "trap" not in said

    (tmp_path / "wrong.toml").write_text("[server]\nport.port = 8080\n")
    assert "server.port is a table; use 1 to 65535" in reader.type("sallyport doctor --config wrong.toml", status=1)
    # Another user is told before anything is made.
    nobody = "env -u SANDBOX_CONFIG_PATH setpriv --reuid=65534 --regid=65534 --clear-groups"
    assert "needs root" in reader.type(f"cd /tmp && {nobody} {server.program} serve --state-directory /tmp/state", status=77)
    assert "state" not in reader.type("ls -A /tmp")

    # What is kept of it serves, and the official clients do what they did.
    assert "healthy" in reader.type("sallyport status")
    sandbox = server.create(network_policy=deny_but("one.example"), metadata={"team": "red"}, timeout=timedelta(minutes=10))
    assert say(sandbox, "echo $((6 * 7))").strip() == "42"
    sandbox.files.write_file("/srv/kept", "of yesterday")
    start_server(sandbox, FILE_SERVER)
    endpoint = sandbox.get_endpoint(8000)
    assert httpx.get(f"http://{endpoint.endpoint}/", headers=endpoint.headers).status_code == 200
    first = sandbox.get_info().expires_at
    sandbox.renew(timedelta(hours=1))
    assert sandbox.get_info().expires_at > first
    listed = osb(["sandbox", "list", "-m", "team=red", "-o", "json"], {**server.environment(), "HOME": str(tmp_path)}, None)
    assert listed.returncode == 0 and sandbox.id in listed.stdout, listed.stderr
    assert sandbox.id in reader.type("sallyport sandbox list --label team=red")
    metrics = server.api.get("/metrics").text
    assert re.search(r'^sallyport_sandboxes\{state="running"\} 1', metrics, re.M | re.I) and "# HELP sallyport_sandboxes" in metrics

    # A restart, as of an upgrade, is no matter to it.
    server.restart()
    assert say(sandbox, "cat /srv/kept") == "of yesterday"

    # A snapshot and a volume are what can be backed up.
    snapshot = server.api.post(f"/v1/sandboxes/{sandbox.id}/snapshots", json={"name": "kept"}).json()["id"]
    eventually(lambda: server.api.get(f"/v1/snapshots/{snapshot}").json()["status"]["state"] == "Ready", what="the snapshot")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/one.csv").write_text("1\n")
    reader.type("sallyport volume create rows --size 64Mi --from rows")
    [backup] = blocks_of("Back up")
    reader.type(backup)
    assert say(sandbox, "cat /srv/kept") == "of yesterday", "sandboxes go on meanwhile"

    # The machine is lost, and another one has the backup.
    server.stop()
    assert f"removed the sandbox {sandbox.id}" in reader.type("sallyport uninstall --config /etc/sallyport/sallyport.toml --yes --state")
    assert not server.state.exists() and not server.leftovers.processes() and not server.leftovers.namespaces()
    [restore] = blocks_of("Restore")
    reader.type(restore)
    lost = server.api.get(f"/v1/sandboxes/{sandbox.id}").json()
    assert (lost["status"]["state"], lost["status"]["reason"]) == ("Failed", "SANDBOX_LOST")
    made = server.api.post("/v1/sandboxes", json={
        "snapshotId": snapshot, "timeout": 600, "resourceLimits": {"cpu": "1", "memory": "256Mi"},
        "volumes": [{"name": "rows", "mountPath": "/rows", "pvc": {"claimName": "rows", "createIfNotExists": False}}]})
    assert made.status_code == 202, made.text
    name = made.json()["id"]
    assert reader.type(f"sallyport sandbox exec {name} -- cat /srv/kept /rows/one.csv") == "of yesterday1\n"

    # Off the machine.
    sandbox.close()
    reader.type(blocks_of("Uninstall")[0].replace("--yes", "--yes --state").replace("# says", "|| true # says"))
    assert not server.state.exists() and not (server.folder / "run").exists()


def blocks_of(heading):
    return re.findall(r"^```sh\n(.*?)^```", section("docs/operations.md", heading), re.M | re.S)
