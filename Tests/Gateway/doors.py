"""The gateway under test, and recorders in the network namespace of a real sandbox behind it."""

import ctypes
import json
import os
import socket
import threading

from recorder import Recorder

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


def network_of(appliance, sandbox_id):
    """Where a sandbox's network namespace is, as its record says."""
    record = json.loads((appliance.state / "sandboxes" / sandbox_id / "sandbox.json").read_text())
    return f"/run/netns/{record['link']['namespaceName']}"


def listen_inside(appliance, sandbox_id, port=0, backlog=512):
    """A listening socket in the sandbox, which a server of the test uses."""
    def work():
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", port))
        listener.listen(backlog)
        return listener

    return in_namespace(network_of(appliance, sandbox_id), work)


class Doors:
    """`address` is the gateway's; `recorder(n)` is the n-th recorder, and `route(n)` names it to the gateway."""

    def __init__(self, appliance):
        self.appliance = appliance
        self.sandbox = appliance.create()
        self.address = ("127.0.0.1", appliance.gateway_port)
        self.recorders = []

    def recorder(self, number=0):
        while len(self.recorders) <= number:
            self.recorders.append(Recorder(listen_inside(self.appliance, self.sandbox.id)))
        return self.recorders[number]

    def route(self, number=0):
        """The value of the route's header."""
        return f"{self.sandbox.id}-{self.recorder(number).port}"

    def close(self):
        for recorder in self.recorders:
            recorder.close()
        self.sandbox.kill()
        self.sandbox.close()
