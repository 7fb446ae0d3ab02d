"""ARCHITECTURE.md's picture of the modules, Package.swift and what the sources import say the same."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = (ROOT / "Package.swift").read_text()
# Targets whose folder has another name than they.
FOLDERS = {"EgressRemote": "Egress/Remote", "EgressSidecar": "Egress/Sidecar", "FlowCheck": "Egress/FlowCheck",
           "ExecdProgram": "Programs/execd", "ProgramSupport": "Programs/Support"}
LEFT_OUT = {"Egress": ["FlowCheck", "Remote", "Sidecar"]}
C_MODULES = {"CLinux", "CMnl", "CNftnl", "COpenSSL", "CCurl"}


def modules():
    """The modules below Sources that are made of Swift, with the modules of ours that Package.swift gives them."""
    found = {}
    for target in re.split(r"\n        (?=library\(|\.target\(|\.executableTarget\()", PACKAGE)[1:]:
        target = re.split(r"\n        (?:\.systemLibrary|tests\(|\.testTarget|fuzzers|//)", target)[0]
        name = re.search(r'"([\w-]+)"', target)[1]
        listed = target.split("path:")[0].replace(f'"{name}"', "", 1)
        found[name] = set(re.findall(r'(?<!name: )"(\w+)"', re.sub(r"\.product\([^)]*\)|exclude: \[[^\]]*\]", "", listed)))
    known = {name for name in found if sources(name)} | C_MODULES
    return {name: needs & known for name, needs in found.items() if name in known - C_MODULES}


def sources(name):
    folder = ROOT / "Sources" / FOLDERS.get(name, name)
    if not folder.is_dir():
        folder = ROOT / "Sources/Programs" / name
    left_out = [folder / part for part in LEFT_OUT.get(name, [])]
    return [file for file in folder.rglob("*.swift") if not any(part in file.parents for part in left_out)]


def imports(name):
    lines = (line for file in sources(name) for line in file.read_text().splitlines())
    return {found[1] for line in lines if (found := re.match(r"(?:@\w+ )?import (?:struct |class |enum )?(\w+)", line))}


MODULES = modules()


def picture():
    """The line of each module in ARCHITECTURE.md: the first word behind the lines of the tree."""
    text = re.search(r"```\n(.*?)```", (ROOT / "ARCHITECTURE.md").read_text(), re.S)[1]
    lines = {}
    for number, line in enumerate(text.splitlines()):
        if found := re.match(r"[│├└─ ]*([\w-]+)", line):
            lines.setdefault(found[1], number)
    return lines


def test_there_are_modules():
    assert len(MODULES) > 15 and {"NetworkPolicy", "Egress", "ControlPlane", "Execd"} <= set(MODULES)
    assert "JSON" in MODULES["NetworkPolicy"] and "CLinux" in MODULES["Egress"]


def test_public_is_only_what_the_optimiser_is_to_inline():
    """What ARCHITECTURE.md says of `public` and `package`."""
    found = {name for name in MODULES for file in sources(name)
             if re.search(r"^\s*(?:@\w+(?:\([^)]*\))? )*public ", file.read_text(), re.M)}
    assert found == {"Addresses", "JSON", "NetworkPolicy", "DNSFilter", "Netfilter", "SecureAccess", "System"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_is_given_what_it_imports_and_nothing_else(name):
    ours = set(MODULES) | C_MODULES
    assert imports(name) & ours - {name} == MODULES[name]


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"ExecdProgram", "ProgramSupport"} - {
    name for name in MODULES if name.startswith("benchmark") or "sallyport" in name}))
def test_arrows_point_up(name):
    lines = picture()
    assert name in lines, f"{name} is not in the picture"
    below = [need for need in MODULES[name] - C_MODULES if lines.get(need, -1) >= lines[name]]
    assert not below, f"{name} imports what does not stand above it"
