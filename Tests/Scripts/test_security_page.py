"""The tables of SECURITY.md are what the code says: capabilities, and the system calls of sandboxes."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()


def source(path: str) -> str:
    return re.sub(r"//[^\n]*", "", (ROOT / path).read_text())


def names(text: str) -> list[str]:
    return re.findall(r'"([A-Za-z_0-9]+)"', text)


def listed(path: str, name: str) -> list[str]:
    """What stands between the brackets of `static let name = […]`, without lists that are added to it."""
    [text] = re.findall(rf"static let {name}\b[^=]*=[^\[]*\[(.*?)\n? *\]", source(path), re.S)
    return names(text)


def row(section: str, name: str) -> list[str]:
    """What the last column of a row names."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    [found] = re.findall(rf"^\| {re.escape(name)} \|.*\| ([^|]+) \|$", text, re.M)
    return re.findall(r"`([A-Za-z_0-9]+)`", found)


def test_the_system_calls_of_sandboxes():
    names_file, main_file = "Sources/Runtimes/OCI/SystemCalls+Names.swift", "Sources/Runtimes/OCI/SystemCalls.swift"
    assert "SYS_CHROOT" in row("Capabilities", "a sandbox's root"), "chroot is allowed for it"
    for name in ("memory", "files", "processes", "waiting", "time", "messages"):
        assert row("System calls of a sandbox", name) == listed(names_file, name), name
    [rest] = re.findall(r"messages \+ \[(.*?)\n +\]", source(names_file), re.S)
    assert row("System calls of a sandbox", "sockets and the machine") == names(rest)
    assert row("System calls of a sandbox", "older forms, on x86_64") == listed(names_file, "ofX86")
    assert row("System calls of a sandbox", "isolated sessions") == listed(main_file, "forSessions")
    # Refused with EPERM: what a capability would allow that sandboxes have not, and what nobody has.
    text = source(main_file)
    by_capability = re.findall(r'"(CAP_[A-Z_]+)",\s*\[(.*?)\]', text, re.S)
    assert len(by_capability) > 10
    raw = names(re.findall(r'rawIO = \(capability: "CAP_SYS_RAWIO", names: \[(.*?)\]', text)[0])
    refused = set(raw) | {name for capability, calls in by_capability if capability != "CAP_SYS_CHROOT" for name in names(calls)}
    refused |= set(listed(main_file, "dangerous")) | set(listed(main_file, "dangerousOnX86"))
    assert row("System calls of a sandbox", "refused") == sorted(refused)


def test_the_capabilities_of_each_process():
    def row_of(name):
        return set(row("Capabilities", name))

    bundle = "Sources/Runtimes/OCI/BundleConfiguration.swift"
    strip = lambda words: {word.removeprefix("CAP_") for word in words}  # noqa: E731
    assert row_of("a sandbox's root") == strip(listed(bundle, "capabilities"))
    assert row_of("execd's first process, with isolated sessions") == strip(listed(bundle, "forSessions"))
    parts = source("Sources/ControlPlane/Processes/Part.swift")
    [kept] = re.findall(r"case \.egress: Confinement\(capabilities: \[(.*?)\]\)", parts)
    snake = {re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).upper() for name in re.findall(r"\.(\w+)", kept)}
    assert row_of("guard") == snake
    assert "case .gateway: Confinement(user: gatewayUser, capabilities: [])" in parts and row_of("gateway") == set()
    assert "linux_keep_capability(LINUX_CAP_NET_ADMIN)" in source("Sources/Programs/sallyport-egress/main.swift")
    assert row_of("`sallyport-egress`, the guard as a sidecar") == {"NET_ADMIN"}
    unit = (ROOT / "deploy/systemd/sallyport.service").read_text()
    bounding = {word for line in re.findall(r"^CapabilityBoundingSet=(.+)$", unit, re.M) for word in line.split()}
    assert row_of("supervisor and server, as the package's unit") == strip(bounding)
    guard = (ROOT / "deploy/systemd/sallyport-guard.service").read_text()
    assert row_of("`sallyport-guard`, the package's unit") == strip(re.findall(r"^CapabilityBoundingSet=(.+)$", guard, re.M)[0].split())
    gateway = (ROOT / "deploy/systemd/sallyport-ingress.service").read_text()
    assert re.search(r"^CapabilityBoundingSet=$", gateway, re.M) and row_of("`sallyport-ingress`, the package's unit") == set()
    postinst = (ROOT / "deploy/debian/postinst").read_text()
    [[name, number]] = re.findall(r"^\| `sallyport-ingress`, the package's unit \| `([\w-]+)` \((\d+)\) \|", PAGE, re.M)
    assert f"User={number}\n" in gateway and f"gateway={number}\n" in postinst and f"--gid $gateway {name}\n" in postinst
    docker = source("Sources/Runtimes/Docker/DockerConfiguration.swift") + source("Sources/ControlPlane/Configuration/Settings+Docker.swift")
    dropped = row_of("a container of the Docker runtime: all that the engine gives but")
    assert dropped and all(f'"{name}"' in docker for name in dropped)


def test_hidden_and_read_only_paths():
    text = source("Sources/Runtimes/OCI/BundleConfiguration.swift")
    for word in ("maskedPaths", "readonlyPaths"):
        [paths] = [text for text in re.findall(rf"{word}: \[(.*?)\]", text, re.S) if "/proc" in text]
        found = re.findall(r'"([^"]+)"', paths)
        assert len(found) > 4 and all(f"`{path}`" in PAGE for path in found), word
