"""Every block of Python in the pages compiles, and awaits what the asynchronous SDK's methods return."""

import ast
import inspect
import typing

import pytest
from opensandbox import Sandbox
from support.pages import PAGES, blocks
from support.server import ROOT

PROGRAMS = [pytest.param(code, id=f"{path.relative_to(ROOT)}-{number}")
            for path in PAGES for number, code in enumerate(blocks(path, "python"))]


def names(node):
    """`sandbox.files.read_file` as a list; empty for what does not begin with a name."""
    if isinstance(node, ast.Attribute):
        return [*found, node.attr] if (found := names(node.value)) else []
    return [node.id] if isinstance(node, ast.Name) else []


def is_asynchronous(words):
    """Whether this method of a sandbox, or of something of it such as its files, makes a coroutine."""
    owner = Sandbox
    for word in words[1:-1]:
        owner = typing.get_type_hints(getattr(owner, word).fget)["return"]
    return inspect.iscoroutinefunction(getattr(owner, words[-1]))


def not_awaited(code):
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    compile(code, "page", "exec", flags)
    tree = compile(code, "page", "exec", flags | ast.PyCF_ONLY_AST)
    awaited = {node.value for node in ast.walk(tree) if isinstance(node, ast.Await)}
    ours = {"Sandbox"} if "SandboxSync" in code else {"Sandbox", "sandbox"}
    calls = [(node, names(node.func)) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [".".join(words) for node, words in calls
            if len(words) > 1 and words[0] in ours and node not in awaited and is_asynchronous(words)]


def test_there_are_programs():
    assert len(PROGRAMS) > 9


@pytest.mark.parametrize("code", PROGRAMS)
def test_a_program_of_a_page_compiles_and_awaits(code):
    assert not_awaited(code) == []


@pytest.mark.parametrize("code, found", [
    ("Sandbox.create('x')", ["Sandbox.create"]),
    ("(await Sandbox.create('x')).id", []),
    ("sandbox.get_endpoint(8000).endpoint", ["sandbox.get_endpoint"]),
    ("print(sandbox.files.read_file('/x'))", ["sandbox.files.read_file"]),
    ("sandbox = SandboxSync.create('x')\nsandbox.kill()", []),
])
def test_what_is_not_awaited_is_found(code, found):
    assert not_awaited(code) == found
