"""HTTP/1.1 as plain bytes, from the client's side."""

import socket


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"{self.status} {self.body[:120]!r}"


def exchange(address, *pieces, patience=20, half_close=False):
    """Sends the pieces, each on its own, and reads to the end of the connection.

    Returns the bytes that came, and whether the other side ended the connection within `patience` seconds.
    """
    came = b""
    with socket.create_connection(address, timeout=patience) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                client.sendall(piece)
            if half_close:
                client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # Refused before all of it was sent; the answer tells.
        try:
            while data := client.recv(65536):
                came += data
        except TimeoutError:
            return came, False
        except OSError:
            pass
    return came, True


def answers(data, of_head=False):
    """The complete answers in `data`; every one must have a length. The first may be one of HEAD."""
    found = []
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        parts = lines[0].split(b" ", 2)
        if not parts[0].startswith(b"HTTP/1."):
            raise AssertionError(f"no answer: {data[:200]!r}")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers[name.strip().lower().decode()] = value.strip().decode("latin-1")
        status = int(parts[1])
        bodiless = of_head and not found
        length = 0 if bodiless or status < 200 or status == 204 else int(headers.get("content-length", 0))
        found.append(Answer(status, headers, rest[:length]))
        data = rest[length:]
    return found
