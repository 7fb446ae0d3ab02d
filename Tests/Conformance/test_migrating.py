"""docs/migrating.md: what it says of the reference's settings is what the server says, for the reference's own example, too."""

import os
import re
import subprocess

import pytest
from support.server import BINARY, ROOT

PAGE = (ROOT / "docs/migrating.md").read_text()


def read(folder, text):
    """What is wrong with a configuration; nothing where it can be used."""
    (folder / "policy.json").write_text("{}")
    (folder / "sandbox.toml").write_text(text)
    done = subprocess.run([BINARY, "policy", "check", "--config", folder / "sandbox.toml", folder / "policy.json"], capture_output=True,
                          text=True, timeout=30, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
    return "" if done.returncode == 0 else done.stderr


def table(heading):
    """The rows of the table after this line."""
    rows = re.findall(r"^\| (.+) \|$", PAGE.split(f"\n{heading}")[1].split("\n\n")[1], re.M)
    return [row.split(" | ") for row in rows[1:] if not row.startswith("---")]


# A value of each that the reference would take, and this server, too. In `[docker]` they need the runtime.
VALUES = {"host": '"127.0.0.1"', "port": "8080", "api_key": '"x"', "eip": '"192.0.2.1"', "level": '"INFO"', "file_path": '"/tmp/x.log"',
          "drop_capabilities": '["MKNOD"]', "seccomp_profile": '""', "apparmor_profile": '""', "sandbox_env": '{ A = "b" }',
          "sandbox_binds": '["/opt/ca.pem:/etc/ca.pem:ro"]', "no_new_privileges": "true", "network_mode": '"bridge"',
          "allowed_host_paths": '["/data"]', "volume_default_size": '"1Gi"', "ossfs_mount_root": '"/mnt/ossfs"', "path": '"/tmp/x.db"',
          "address": '"127.0.0.1:28888"', "image": '"sallyport/egress"', "readiness_timeout_seconds": "30.0", "docker_runtime": '"runsc"',
          "enabled": "false", "dsn": '"redis://127.0.0.1:6379/0"', "queue_key": '"opensandbox:renew:intent"', "endpoint": '"http://127.0.0.1:4318"',
          "service_name": '"opensandbox-server"', "export_interval_millis": "60000", "active_key": '"a"', "file_enabled": "true"}
OF_TABLES = {"[runtime] type": '"docker"', "[store] type": '"sqlite"', "[secure_runtime] type": '""', "[ingress.gateway.route] mode": '"header"',
             "[tenants] provider": '"file"', "[ingress.secure_access] keys": '[{ key_id = "a", key = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ=" }]'}


def test_what_is_read_as_it_is(tmp_path):
    tables = {}
    for first, keys in table("Read as they are"):
        name = first.strip("`").strip("[]")
        for word in re.findall(r"`([^`]+)`", keys):
            if word.startswith("["):
                name = word.strip("[]")
            else:
                tables.setdefault(name, []).append(word)
    assert len(tables) > 12
    (tmp_path / "tenants.toml").write_text('[[tenants]]\nname = "red"\nnamespace = "red"\napi_keys = ["k"]\n')
    lines = []
    for name, keys in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {OF_TABLES.get(f'[{name}] {key}') or VALUES.get(key, '60')}" for key in keys]
        lines += [f'path = "{tmp_path}/tenants.toml"'] if name == "tenants" else []
    assert read(tmp_path, "\n".join(lines) + "\n") == ""


def test_what_is_not_here_is_told_of_each_at_once(tmp_path):
    keys = [key for row in table("Not here;") for key in re.findall(r"`([a-z0-9_]+\.[a-z0-9_.]+)`", row[0])]
    assert len(keys) > 20
    tables = {}
    for key in keys:
        name, _, last = key.rpartition(".")
        tables.setdefault(name, []).append(last)
    said = read(tmp_path, "".join(f"[{name}]\n" + "".join(f'{key} = "x"\n' for key in below) for name, below in tables.items()))
    assert all(f" {key}" in said for key in keys), said
    assert "kubernetes.namespace" in said and "this server has no Kubernetes runtime" in said


@pytest.mark.parametrize("key, value", [("ingress.mode", "direct"), ("egress.mode", "dns"), ("secure_runtime.type", "kata")])
def test_what_is_not_taken_with_every_value(key, value, tmp_path):
    name, _, last = key.rpartition(".")
    assert f"`{key}`" in PAGE and re.search(rf'{key} is "{value}".*use', read(tmp_path, f'[{name}]\n{last} = "{value}"\n'))


def test_the_references_example_becomes_what_the_page_shows(tmp_path):
    """Its own program writes it. Each complaint is answered as it says."""
    subprocess.run([ROOT / "scripts/python-environment.sh", "reference", "reference.txt"], check=True, timeout=600)
    example = tmp_path / "example.toml"
    subprocess.run([ROOT / ".build-conformance/reference/bin/opensandbox-server", "init-config", example, "--example", "docker"], check=True,
                   capture_output=True, timeout=60)
    text = example.read_text()
    said = read(tmp_path, text)
    assert "settings of OpenSandbox's server that this one does not have" in said
    foreign = re.findall(r"[a-z_]+\.[a-z_]+", " ".join(re.findall(r"^  (.+?): ", said, re.M)))
    assert set(foreign) == {"docker.port_range_min", "docker.port_range_max", "proxy.resolve_internal", "runtime.execd_image"}
    for key in foreign:
        text = re.sub(rf"^{key.split('.')[1]} = .*\n", "", text, flags=re.M)
    text = text.replace("\n[proxy]\n", "\n")
    for key, value in (("ingress.mode", "direct"), ("egress.mode", "dns"), ("store.path", "~/.opensandbox/opensandbox.db")):
        assert f'{key} is "{value}"; use' in read(tmp_path, text)
        text = text.replace(f'{key.split(".")[1]} = "{value}"\n', "")
    assert read(tmp_path, text) == ""
    [shown] = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
    assert read(tmp_path, shown) == ""

    def keys(text):
        return set(re.findall(r"^([a-z_]+) = ", text, re.M))

    # The page leaves out what is the default, and what is the reference's own.
    assert keys(shown) <= keys(text) and keys(text) - keys(shown) == {
        "apparmor_profile", "seccomp_profile", "image", "readiness_timeout_seconds"}
