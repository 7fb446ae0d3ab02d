"""The official code interpreter against sallyport/code:latest, whose entrypoint starts a Jupyter server with five kernels
(docs/images.md#the-code-image): what holds on the base image holds here."""

import subprocess

import pytest
from code_interpreter import CodeInterpreterSync
from support.server import ROOT, AllInOneServer
# The same tests, with this module's interpreter.
from test_code import (  # noqa: F401
    context, out, test_a_value_and_what_was_printed_arrive, test_an_error_is_an_error_and_nothing_else,
    test_an_interrupt_ends_a_run_and_not_its_context, test_default_contexts_are_one_for_each_language,
    test_every_line_of_a_stream_is_a_bare_event, test_the_asynchronous_client_works_alike,
    test_variables_stay_in_their_context)

IMAGE_FOLDER = ROOT / ".build-base/code"


@pytest.fixture(scope="module")
def server(world):
    """One that has the image."""
    subprocess.run([ROOT / "scripts/code-image.sh", IMAGE_FOLDER], check=True, stdin=subprocess.DEVNULL, timeout=900)
    server = AllInOneServer(world, local={"code_image": f'"{IMAGE_FOLDER}"'})
    try:
        yield server.start()
    finally:
        server.tear_down()


@pytest.fixture(scope="module")
def interpreter(server):
    """As a user of the reference's image makes it."""
    sandbox = server.create(
        image="sallyport/code:latest", entrypoint=["/opt/opensandbox/code-interpreter.sh"],
        resource={"cpu": "2", "memory": "1Gi"})
    yield CodeInterpreterSync.create(sandbox)
    sandbox.kill()
    sandbox.close()


@pytest.mark.parametrize("language, code, result", [
    ("python", "import sys; sys.version_info.major", "3"), ("typescript", "const n: number = 41; n + 1", "42"),
    ("javascript", "[1, 2].map(n => n * 21)[1]", "42"), ("java", "int x = 41; x + 1", "42")])
def test_a_language_of_the_image_has_a_kernel(interpreter, language, code, result):
    made = interpreter.codes.create_context(language)
    done = interpreter.codes.run(code, context=made)
    assert done.error is None and result in done.result[0].text, done
    interpreter.codes.delete_context(made.id)


@pytest.mark.parametrize("language", ["typescript", "javascript"])
def test_no_result_of_many_quick_runs_is_lost(interpreter, language):
    made = interpreter.codes.create_context(language)
    for number in range(60):
        done = interpreter.codes.run(f"{number} + 1", context=made)
        assert done.error is None and [str(number + 1) in result.text for result in done.result] == [True], (number, done)
    interpreter.codes.delete_context(made.id)


def test_bash_keeps_its_variables(interpreter):
    made = interpreter.codes.create_context("bash")
    interpreter.codes.run("n=41", context=made)
    assert out(interpreter.codes.run("echo $((n + 1))", context=made)).strip() == "42"
    interpreter.codes.delete_context(made.id)


def test_what_is_installed_in_the_sandbox_is_what_code_imports(interpreter):
    """Packages of the server stand behind those that a sandbox installs, and its Python is the sandbox's."""
    run = interpreter.sandbox.commands.run
    run("mkdir -p /usr/local/lib/python3.11/dist-packages && echo 'n = 42' >/usr/local/lib/python3.11/dist-packages/installed.py")
    made = interpreter.codes.create_context("python")
    assert interpreter.codes.run("import installed; installed.n", context=made).result[0].text == "42"
    interpreter.codes.delete_context(made.id)


def test_the_servers_token_is_in_no_list_of_processes(interpreter):
    assert "opensandboxcodeinterpreterjupyter" not in interpreter.sandbox.commands.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").text
    assert interpreter.sandbox.commands.run("echo ${JUPYTER_TOKEN-none}").text == "none"
