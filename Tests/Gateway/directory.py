"""A directory of sandboxes on a unix socket, as the server tells it to gateways in other processes."""

import json
import socket
import threading


class Directory:
    """Tells every gateway of one sandbox on loopback, and then each second that nothing has happened."""

    def __init__(self, path, sandbox):
        entry = {"id": sandbox, "host": "127.0.0.1", "incarnation": "1", "epoch": "0.0", "services": [], "renews": False}
        self.snapshot = {"kind": "snapshot", "stream": "test", "sequence": 0, "entries": [entry]}
        self.ending = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                gateway, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._tell, args=(gateway,), daemon=True).start()

    def _tell(self, gateway):
        def line(message):
            gateway.sendall(json.dumps(message).encode() + b"\n")

        with gateway:
            try:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += gateway.recv(4096)
                assert request.startswith(b"GET /v1/directory")
                gateway.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                line(self.snapshot)
                while not self.ending.wait(1):
                    line({"kind": "beat", "sequence": 0})
            except OSError:
                pass  # The gateway has gone.

    def close(self):
        self.ending.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
