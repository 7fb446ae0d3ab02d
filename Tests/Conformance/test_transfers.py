"""Files at size: what goes up and down through execd costs it no memory, whatever its length (docs/execd.md#files)."""

import io
import json
import os
import pathlib
import re
import socket
import subprocess
import tarfile

import httpx
import pytest
from support.server import EXECD, free_port
from support.waiting import answers, eventually

MIB = 1 << 20
# What execd may have in memory at most, and what it sends or gets here.
MOST, MUCH = 48 * MIB, 384 * MIB


class Execd:
    def __init__(self, *before):
        self.port = free_port()
        self.process = subprocess.Popen([*before, EXECD, "--serve", "--port", str(self.port)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: answers(lambda: self.connect().close() is None), what="the API")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def post(self, path, **more):
        return httpx.post(f"http://127.0.0.1:{self.port}{path}", timeout=30, **more)

    def most(self):
        """The most that it ever had in memory, in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) << 10

    def get(self, path, *fields, method="GET"):
        """The head of the answer, and the connection behind it with what has come of the body."""
        client = self.connect()
        lines = [f"{method} /files/download?path={path} HTTP/1.1", "Host: x", "Connection: close", *fields]
        client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1 << 16)
        head, _, begun = head.partition(b"\r\n\r\n")
        return head.decode().lower(), client, begun


@pytest.fixture
def execd():
    execd = Execd()
    yield execd
    execd.process.kill()
    execd.process.wait()


@pytest.fixture
def sparse(tmp_path):
    """10 GiB, of which the last bytes are there."""
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(10 << 30)
        file.seek(-4, os.SEEK_END)
        file.write(b"last")
    return path


def rest(client):
    """How many bytes still come, which are thrown away, and the last of them."""
    count, last = 0, b""
    while part := client.recv(MIB):
        count, last = count + len(part), part[-4:]
    return count, last


def test_the_end_of_ten_gigabytes_is_reached_by_its_range_and_told_by_a_head(execd, sparse):
    head, client, begun = execd.get(sparse, method="HEAD")
    assert "200" in head.split("\r\n")[0] and f"content-length: {10 << 30}" in head and rest(client) == (0, b"")
    tag = re.search("etag: (.*)\r\n", head)[1]
    head, client, begun = execd.get(sparse, f"Range: bytes={(10 << 30) - MIB}-", f"If-Match: {tag.upper()}")
    if tag.startswith("w/"):
        assert "412" in head.split("\r\n")[0], "a tag of one moment matches nothing"
        head, client, begun = execd.get(sparse, f"Range: bytes={(10 << 30) - MIB}-")
    assert "206" in head.split("\r\n")[0]
    assert f"content-range: bytes {(10 << 30) - MIB}-{(10 << 30) - 1}/{10 << 30}" in head
    count, last = rest(client)
    assert count + len(begun) == MIB and last == b"last"


def test_much_goes_down_in_constant_memory(execd, sparse):
    start = (10 << 30) - MUCH
    head, client, begun = execd.get(sparse, f"Range: bytes={start}-")
    count, last = rest(client)
    assert count + len(begun) == MUCH and last == b"last" and execd.most() < MOST


@pytest.mark.parametrize("chunked", [False, True], ids=["counted", "chunked"])
def test_much_goes_up_in_constant_memory(execd, tmp_path, chunked):
    target = tmp_path / "up"
    front = ('--B\r\nContent-Disposition: form-data; name="metadata"; filename="m"\r\n\r\n' + json.dumps({"path": str(target)})
             + '\r\n--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n').encode()
    back, piece = b"\r\n--B--\r\n", b"0123456789abcde\r" * (MIB // 16)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(front) + MUCH + len(back)}"
    with execd.connect() as client:
        client.sendall(f"POST /files/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n"
                       f"{length}\r\n\r\n".encode())
        for part in [front, *[piece] * (MUCH // MIB), back]:
            client.sendall(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
        client.sendall(b"0\r\n\r\n" if chunked else b"")
        assert b" 200 " in client.recv(4096)
    assert target.stat().st_size == MUCH and execd.most() < MOST
    with open(target, "rb") as file:
        assert file.read(MIB) == piece
        file.seek(-MIB, os.SEEK_END)
        assert file.read() == piece


def test_a_client_that_reads_late_gets_every_byte(execd, tmp_path):
    path = tmp_path / "numbers"
    content = b"".join(b"%07d\n" % number for number in range(3 * MIB))
    path.write_bytes(content)
    head, client, got = execd.get(path)
    got = bytearray(got)
    # Small parts, so that the socket is full again and again.
    while part := client.recv(30_000):
        got += part
    assert got == content


@pytest.fixture
def full(tmp_path):
    """execd with a disk of 1 MiB, nearly full, and the disk as it is seen from here."""
    disk = tmp_path / "disk"
    disk.mkdir()
    execd = Execd("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"', disk)
    seen = pathlib.Path(f"/proc/{execd.process.pid}/root{disk}")
    (seen / "kept").write_bytes(b"kept")
    (seen / "filling").write_bytes(bytes(900 << 10))
    yield execd, disk, seen
    execd.process.kill()
    execd.process.wait()


def test_what_does_not_fit_on_a_disk_changes_nothing_there(full, tmp_path):
    execd, disk, seen = full
    content, archive, source = bytes(MIB), io.BytesIO(), tmp_path / "source"
    source.write_bytes(content)
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ["first", "kept"]:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
        tar.add(source, "large")

    def upload():
        metadata = json.dumps({"path": str(disk / "kept")})
        return execd.post("/files/upload", files=[("metadata", ("m", metadata)), ("file", ("f", content))])

    there = sorted(os.listdir(seen))
    for what in [
            upload, lambda: execd.post("/directories/archive", params={"path": disk}, content=archive.getvalue()),
            lambda: execd.post("/directories/archive", params={"path": disk / "new/folder"}, content=archive.getvalue()),
            lambda: execd.post("/files/replace", json={str(disk / "kept"): {"old": "kept", "new": "x" * MIB}}),
            lambda: execd.post("/files/mv", json=[{"src": str(source), "dest": str(disk / "kept")}])]:
        answer = what()
        assert answer.status_code >= 400 and set(answer.json()) == {"code", "message"}, answer.text
        assert sorted(os.listdir(seen)) == there and (seen / "kept").read_bytes() == b"kept"
    assert source.read_bytes() == content
    (seen / "filling").unlink()
    (seen / "kept").write_bytes(bytes(10))
    content = bytes(MIB // 2)
    assert upload().status_code == 200 and (seen / "kept").stat().st_size == MIB // 2


def test_a_client_that_does_not_read_costs_no_memory_and_holds_up_nobody(execd):
    def served():
        return '"text":"5"' in execd.post("/command", json={"command": "echo $((2 + 3))"}).text

    with execd.connect() as client:
        body = json.dumps({"command": "echo $$; exec yes"})
        client.sendall(f"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        head = b""
        while not (found := re.search(rb'"text":"(\d+)\\?n?"', head)):
            head += client.recv(4096)
        command = pathlib.Path(f"/proc/{int(found[1])}")

        def written():
            return int(re.search(r"wchar: (\d+)", (command / "io").read_text())[1])

        def stands():
            before = written()
            return served() and written() == before

        eventually(stands, what="a command that waits for its client")
        assert execd.most() < MOST
    eventually(lambda: not command.exists(), what="the end of a command whose client has gone")
    assert served()
