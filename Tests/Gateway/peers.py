"""nginx and haproxy of Debian, each in front of a recorder: what they take bytes for is what they pass on."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

from recorder import Recorder
from support.server import free_port
from support.waiting import answers, eventually
from wire import exchange

SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: sentinel\r\nConnection: close\r\n\r\n"

NGINX = """
daemon off;
worker_processes 1;
error_log {folder}/nginx.error;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    underscores_in_headers on;
    ignore_invalid_headers off;
    merge_slashes off;
    client_max_body_size 0;
    large_client_header_buffers 8 64k;
    client_body_timeout 2s;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1; proxy_set_header Host $http_host; }}
    }}
}}
"""

HAPROXY = """
global
    tune.bufsize 131072
    tune.http.maxhdr 512
defaults
    mode http
    timeout client 2s
    timeout server 5s
    timeout connect 5s
    http-reuse never
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server recorder 127.0.0.1:{behind}
"""


class Peer:
    """`command` starts it in the foreground, with the path of its configuration as its last word."""

    def __init__(self, name, configuration, command):
        self.name = name
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"sallyport-{name}-"))
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        self.recorder = Recorder(listener)
        self.address = ("127.0.0.1", free_port())
        file = self.folder / "configuration"
        file.write_text(configuration.format(folder=self.folder, port=self.address[1], behind=self.recorder.port))
        environment = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen([*command, str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        eventually(self._listens, what=name)

    def _listens(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        return answers(lambda: not socket.create_connection(self.address).close(), OSError)

    def read(self, data, whole):
        """The requests that it takes `data` for, and the statuses with which it refuses some of it.

        `whole` says that `data` ends with the end of a request, so that another can follow.
        """
        self.recorder.forget()
        came, ended = exchange(self.address, data, *([SENTINEL] if whole else []), half_close=not whole)
        assert ended, f"{self.name} waits for more of {data[:300]!r}"
        # Answers to HEAD have no body, so that statuses are looked for as they stand.
        refusals = [int(status) for status in re.findall(rb"HTTP/1\.[01] ([45]\d\d)", came)]
        return [request for request in self.recorder.requests if request.complete], refusals

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=10)
        self.recorder.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def nginx():
    return Peer("nginx", NGINX, ["nginx", "-p", "/", "-c"])


def haproxy():
    return Peer("haproxy", HAPROXY, ["haproxy", "-db", "-f"])
