"""The gateway under test, and recorders in the network namespace of a real sandbox behind it."""

import ctypes
import json
import os
import socket
import threading

from recorder import Recorder
from separate import SeparateGateway
from support.leftovers import name_of

ROUTE = "OpenSandbox-Ingress-To"
CLONE_NEWNET = 0x40000000


def in_namespace(path, work):
    """What `work` returns in a thread of that network namespace; sockets that it makes stay there."""
    results = []

    def enter():
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
                results.append((work(), None))
            finally:
                os.close(descriptor)
        except BaseException as error:
            results.append((None, error))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    result, error = results[0]
    if error is not None:
        raise error
    return result


def network_of(server, sandbox_id):
    """Where a sandbox's network namespace is, as its record says."""
    record = json.loads((server.state / "sandboxes" / name_of(sandbox_id) / "sandbox.json").read_text())
    return record["link"]["namespacePath"]


def listen_inside(server, sandbox_id, port=0, backlog=512):
    """A listening socket in the sandbox, which a server of the test uses."""
    def work():
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", port))
        listener.listen(backlog)
        return listener

    return in_namespace(network_of(server, sandbox_id), work)


class Doors:
    """`address` is the gateway's; `recorder(n)` is the n-th recorder, and `route(n)` names it to the gateway."""

    def __init__(self, server):
        self.server = server
        self.sandbox = server.create()
        self.address = ("127.0.0.1", server.gateway_port)
        self.recorders = []
        self.separate = {}

    def address_of(self, mode):
        """Where requests of a routing mode go: the server's own gateway is in header mode, others run beside it."""
        if mode == "header":
            return self.address
        if mode not in self.separate:
            self.separate[mode] = SeparateGateway(self.server, mode).start()
        return self.separate[mode].address

    def recorder(self, number=0):
        while len(self.recorders) <= number:
            self.recorders.append(Recorder(listen_inside(self.server, self.sandbox.id)))
        return self.recorders[number]

    def route(self, number=0):
        """The value of the route's header."""
        return f"{self.sandbox.id}-{self.recorder(number).port}"

    def bytes_of(self, entry, number=0):
        """A request of the corpus, for a recorder."""
        return entry.bytes(self.sandbox.id.encode(), str(self.recorder(number).port).encode())

    def plain(self, mode, path=b"/plain", number=0):
        """A request that nobody can misunderstand; the connection ends with its answer."""
        label = self.route(number).encode()
        host, to = b"h", b""
        if mode == "header":
            to = b"OpenSandbox-Ingress-To: " + label + b"\r\n"
        elif mode == "wildcard":
            host = label + b".sandboxes.example"
        else:
            path = b"/" + label.replace(b"-" + str(self.recorder(number).port).encode(), b"/%d" % self.recorder(number).port) + path
        return b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + to + b"Connection: close\r\n\r\n"

    def close(self):
        for gateway in self.separate.values():
            gateway.stop()
        for recorder in self.recorders:
            recorder.close()
        self.sandbox.kill()
        self.sandbox.close()
