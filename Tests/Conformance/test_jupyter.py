"""The official code interpreter's calls against execd beside a real Jupyter server, with ipykernel and bash_kernel."""

import base64
import json
import os
import secrets
import signal
import subprocess
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from code_interpreter.sync.adapters.code_adapter import CodesAdapterSync
from opensandbox.config import ConnectionConfigSync
from opensandbox.exceptions import SandboxApiException
from opensandbox.models.execd_sync import ExecutionHandlersSync
from opensandbox.models.sandboxes import SandboxEndpoint
from support.server import EXECD, ROOT, free_port
from support.waiting import answers, eventually

JUPYTER = ROOT / ".build-conformance/jupyter/bin/jupyter-server"


class Pair:
    """A Jupyter server and an execd, on loopback."""

    def __init__(self, folder, jupyter_port=None):
        self.folder, self.token = folder, secrets.token_hex(16)
        self.jupyter_port, self.port = jupyter_port or free_port(), free_port()
        self.server = self.execd = None
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "JUPYTER_TOKEN": self.token,
            "JUPYTER_HOST": f"http://127.0.0.1:{self.jupyter_port}"}
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.execd = subprocess.Popen([EXECD, "--port", str(self.port)], env=self.environment, **quiet)
        eventually(lambda: answers(lambda: httpx.get(f"http://127.0.0.1:{self.port}/ping").status_code == 200), what="execd")
        config = ConnectionConfigSync(disable_metrics=True, request_timeout=timedelta(seconds=60))
        self.codes = CodesAdapterSync(SandboxEndpoint(endpoint=f"127.0.0.1:{self.port}"), config)

    def start_jupyter(self):
        self.server = subprocess.Popen(
            [JUPYTER, "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={self.jupyter_port}",
             "--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.folder}", f"--IdentityProvider.token={self.token}"],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)

    def kill_jupyter(self):
        os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait(30)

    def kernels(self):
        return httpx.get(f"{self.environment['JUPYTER_HOST']}/api/kernels",
                         headers={"Authorization": f"token {self.token}"}, timeout=30).json()

    def end(self):
        self.codes.close()
        self.execd.kill()
        self.execd.wait(30)
        if self.server is not None and self.server.poll() is None:
            self.server.terminate()
            self.server.wait(30)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    pair = Pair(tmp_path_factory.mktemp("jupyter"))
    try:
        # execd asks before the server is there, and waits for it.
        threading.Timer(0.5, pair.start_jupyter).start()
        pair.codes.run("1", language="python")
        yield pair
    finally:
        pair.end()


@pytest.fixture
def context(pair):
    made = pair.codes.create_context("python")
    yield made
    pair.codes.delete_context(made.id)


def out(done):
    return "".join(message.text for message in done.logs.stdout)


def while_running(pair, context, code, act):
    """Runs code, and does something when it has printed."""
    begun, done = threading.Event(), []
    handlers = ExecutionHandlersSync(on_stdout=lambda message: begun.set())
    runner = threading.Thread(target=lambda: done.append(pair.codes.run(code, context=context, handlers=handlers)))
    runner.start()
    assert begun.wait(60)
    act()
    runner.join(60)
    return done[0]


def test_values_output_and_errors_arrive_and_variables_stay(pair, context):
    done = pair.codes.run("import sys\nx = 41\nprint('a\\nb')\nprint('bad', file=sys.stderr)\nx + 1", context=context)
    assert out(done) == "a\nb\n" and done.logs.stderr[0].text == "bad\n" and done.error is None and done.complete
    assert done.result[0].text == "42" and done.execution_count == 1 and done.id == context.id
    failed = pair.codes.run("x / 0", context=context)
    assert failed.error.name == "ZeroDivisionError" and failed.error.traceback and failed.complete is None
    assert pair.codes.run("x", context=context).result[0].text == "41"


def test_what_is_displayed_is_a_result_and_all_of_its_values_are_texts(pair, context):
    answer = httpx.post(f"http://127.0.0.1:{pair.port}/code", timeout=60, json={"context": {"id": context.id}, "code":
        "from IPython.display import display, HTML, JSON, Image\n"
        "display(HTML('<b>x</b>')); display(JSON({'a': [1]})); display(Image(b'\\x89PNG' * 100, format='png'))"})
    records = [record for record in answer.text.split("\n\n") if '"results"' in record]
    results = [json.loads(record)["results"] for record in records]
    assert all(isinstance(value, str) for result in results for value in result.values())
    assert results[0]["text/html"] == "<b>x</b>" and results[1]["application/json"] == '{"a":[1]}'
    assert base64.b64decode(results[2]["image/png"]) == b"\x89PNG" * 100 and "\n" not in results[2]["image/png"]


def test_an_interrupt_ends_a_run_and_keeps_its_variables(pair, context):
    done = while_running(pair, context, "kept = 7\nprint('begun', flush=True)\nimport time; time.sleep(100)",
                         lambda: pair.codes.interrupt(context.id))
    assert done.error.name == "KeyboardInterrupt"
    assert pair.codes.run("kept", context=context).result[0].text == "7"


def test_an_interrupt_at_the_very_beginning_ends_the_run_and_keeps_its_variables(pair, context):
    """The kernel may not have the code yet when the interrupt comes, and heeds none then."""
    pair.codes.run("x = 7", context=context)
    for _ in range(10):
        handlers = ExecutionHandlersSync(on_init=lambda begun: pair.codes.interrupt(context.id))
        done = pair.codes.run("import time\ntime.sleep(60)", context=context, handlers=handlers)
        assert done.error and done.error.name == "KeyboardInterrupt", done
        assert pair.codes.run("x", context=context).result[0].text == "7"


def test_a_kernel_that_dies_is_an_error_and_the_next_run_has_a_new_one(pair, context):
    pair.codes.run("x = 1", context=context)
    begin = time.monotonic()
    done = pair.codes.run("import os; os._exit(1)", context=context)
    assert done.error.name == "KernelDied" and time.monotonic() - begin < 30
    assert pair.codes.run("x", context=context).error.name == "NameError"


def test_code_that_asks_for_input_does_not_hang(pair, context):
    assert pair.codes.run("input()", context=context).error is not None
    assert pair.codes.run("2", context=context).result[0].text == "2"


def test_what_a_thread_prints_between_runs_is_not_the_next_ones(pair, context):
    mark = pair.folder / "printed"
    pair.codes.run("import threading, pathlib\ndef later():\n    print('late', flush=True)\n"
                   f"    pathlib.Path({str(mark)!r}).touch()\nthreading.Timer(0.3, later).start()", context=context)
    eventually(mark.exists, what="the thread's word")
    assert out(pair.codes.run("print('mine')", context=context)) == "mine\n"


def test_runs_wait_for_each_other(pair, context):
    done = []
    threads = [threading.Thread(target=lambda: done.append(pair.codes.run(
        "n = globals().get('n', 0) + 1\nn", context=context).result[0].text)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == ["1", "2", "3", "4", "5"]


def test_a_client_that_goes_takes_its_run_along(pair, context):
    with httpx.stream("POST", f"http://127.0.0.1:{pair.port}/code", timeout=60, json={
            "code": "print('begun', flush=True)\nimport time\ntime.sleep(1000)", "context": {"id": context.id}}) as stream:
        assert any("begun" in line for line in stream.iter_lines())
    assert pair.codes.run("2", context=context).result[0].text == "2"


def test_bash_is_the_servers_kernel_and_starts_where_it_is_told_to(pair):
    made = httpx.post(f"http://127.0.0.1:{pair.port}/code/context", timeout=60, json={
        "language": "bash", "cwd": f"{pair.folder}/below"}).json()
    context = pair.codes.get_context(made["id"])
    assert "bash" in {kernel["name"] for kernel in pair.kernels()}
    pair.codes.run("x=5", context=context)
    assert out(pair.codes.run("echo $x; pwd", context=context)).split() == ["5", f"{pair.folder}/below"]
    pair.codes.delete_context(made["id"])
    assert "bash" not in {kernel["name"] for kernel in pair.kernels()}


def test_a_language_without_a_kernel_is_refused_in_time(pair):
    begin = time.monotonic()
    with pytest.raises(SandboxApiException) as refused:
        pair.codes.create_context("java")
    assert refused.value.status_code == 500 and time.monotonic() - begin < 30


def test_commands_do_not_learn_the_token(pair):
    text = httpx.post(f"http://127.0.0.1:{pair.port}/command", json={"command": "env"}, timeout=30).text
    assert "HOME" in text and pair.token not in text


def test_a_jupyter_that_is_killed_during_a_run_is_an_error_and_a_new_one_serves(pair, context):
    done = while_running(pair, context, "print('begun', flush=True)\nimport time; time.sleep(100)", pair.kill_jupyter)
    assert done.error.name == "KernelDied"
    pair.start_jupyter()
    eventually(lambda: answers(lambda: pair.kernels() is not None), what="Jupyter")
    assert pair.codes.run("40 + 2", context=context).result[0].text == "42"


def test_many_quick_runs_have_one_end_each(pair, context):
    for number in range(100):
        done = pair.codes.run(f"{number} + 1", context=context)
        assert done.result[0].text == str(number + 1) and done.complete is not None and done.error is None


def test_a_redirect_does_not_carry_the_token_elsewhere(tmp_path):
    seen = {"host": [], "elsewhere": []}

    def serve(name, target=None):
        class Answering(BaseHTTPRequestHandler):
            def answer(self):
                seen[name].append(self.headers.get("Authorization"))
                self.send_response(302 if target else 200)
                self.send_header("Location", f"{target}{self.path}" if target else "/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_DELETE = do_PATCH = answer

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    elsewhere = serve("elsewhere")
    host = serve("host", f"http://127.0.0.1:{elsewhere.server_port}")
    pair = Pair(tmp_path, jupyter_port=host.server_port)
    try:
        with pytest.raises(SandboxApiException):
            pair.codes.create_context("python")
        assert seen["host"] == [f"token {pair.token}"] * len(seen["host"]) != [] and not seen["elsewhere"]
    finally:
        pair.end()
        host.shutdown()
        elsewhere.shutdown()
