"""What a test does from inside a sandbox: plain commands, by the SDK."""

import json
from datetime import timedelta

from opensandbox.models.execd import RunCommandOpts

from .waiting import patient


def say(sandbox, command, timeout=20):
    """The standard output of a command that must succeed."""
    done = sandbox.commands.run(command, opts=RunCommandOpts(timeout=timedelta(seconds=patient(timeout))))
    text = "".join(message.text for message in done.logs.stdout)
    errors = "".join(message.text for message in done.logs.stderr)
    assert done.exit_code == 0, f"{command}: {done.exit_code} {text} {errors} {done.error}"
    return text


def keeps_mount_flags(sandbox):
    """Whether `nodev` and `nosuid` hold for a sandbox's root. Without a user namespace crun mounts it again, without them."""
    line = next(line.split() for line in say(sandbox, "while read line; do echo \"$line\"; done < /proc/self/mountinfo").splitlines()
                if line.split()[4] == "/")
    return {"nodev", "nosuid"} <= set(line[5].split(","))


def has_user_namespace(sandbox):
    return say(sandbox, "read ids < /proc/self/uid_map; echo $ids").split() != ["0", "0", str(2**32 - 1)]


def exit_code(sandbox, command):
    return sandbox.commands.run(command).exit_code


def fetches(sandbox, url):
    """Whether an HTTP request from inside gets an answer of the outside."""
    done = sandbox.commands.run(f"curl -sS -g --connect-timeout {patient(3)} --max-time {patient(5)} '{url}'")
    return done.exit_code == 0 and "outside " in "".join(message.text for message in done.logs.stdout)


def resolves(sandbox, name):
    return exit_code(sandbox, f"getent ahosts {name}") == 0


def start_server(sandbox, script, port=8000):
    """Runs a Python server inside, and waits until it accepts connections."""
    sandbox.files.write_file("/tmp/server.py", script)
    sandbox.commands.run("exec python3 /tmp/server.py", opts=RunCommandOpts(background=True))
    dial = f"(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null"
    say(sandbox, f"for i in $(seq 200); do {dial} && exit 0; sleep 0.05; done; exit 1")


ECHO_SERVER = '''
import http.server, json
class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "inner"
    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        path = self.path.split("?")[0]
        self.send_response(302 if path.startswith("/go") else 200)
        if path == "/go-local": self.send_header("Location", "/elsewhere?x=1")
        if path == "/go-slashes": self.send_header("Location", "//other.example/x")
        if path == "/go-away": self.send_header("Location", "http://other.example/x")
        if path == "/cookies":
            self.send_header("Set-Cookie", "a=1")
            self.send_header("Set-Cookie", "b=2")
        if path == "/raw": self.send_header("X-Raw", "caf\xe9 \xc3\xa4 \xff\xf4\x8f\xbe\x80")
        text = json.dumps({"method": self.command, "target": self.path, "headers": self.headers.items(),
                           "body": body.decode("latin-1"), "peer": self.client_address[0]}).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(text)
    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_TRACE = do_PURGE = answer
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Echo).serve_forever()
'''


def headers_of(answer):
    """The headers that an echo server says it got, in lower case, each with all its values."""
    found = {}
    for name, value in json.loads(answer.text)["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found
