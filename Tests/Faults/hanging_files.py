"""A real FUSE file system whose server takes a read and never answers it: `hanging_files.py [--background] FOLDER LOG`.

It has files `hang-0` to `hang-9`, each of which holds up its own readers: they wait in the kernel, where no signal ends it, until the
server ends or its connection is cut. The line `asked` in the log says that one does.
"""

import ctypes
import os
import stat
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 17, 18, 25, 26
OPENDIR, READDIR, RELEASEDIR, ACCESS, INTERRUPT, BATCH_FORGET = 27, 28, 29, 34, 36, 42
ROOT, FILES = 1, {b"hang-%d" % number: 2 + number for number in range(10)}


def attributes(node):
    mode = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o644
    return struct.pack("<6Q10I", node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(operation, node, body, log):
    """The bytes of an answer, an errno, or None for none."""
    if operation == INIT:
        return struct.pack("<4I2H2I2H7I", 7, 31, 0, 0, 16, 12, 65536, 1, 0, 0, *[0] * 7)
    if operation == LOOKUP:
        file = FILES.get(body.rstrip(b"\0"))
        return struct.pack("<4Q2I", file, 0, 0, 0, 0, 0) + attributes(file) if file else 2
    if operation == GETATTR:
        return struct.pack("<Q2I", 0, 0, 0) + attributes(node)
    if operation in (OPEN, OPENDIR):
        return struct.pack("<Q2I", 1, 0, 0)
    if operation == READ:
        log.write("asked\n")
        log.flush()
        return None
    if operation in (FORGET, BATCH_FORGET, INTERRUPT):
        return None
    if operation == STATFS:
        return bytes(80)
    return b"" if operation in (READDIR, RELEASE, RELEASEDIR, FLUSH, ACCESS) else 38


def serve(device, log):
    while True:
        try:
            request = os.read(device, 1 << 18)
        except OSError:
            return
        _, operation, unique, node = struct.unpack_from("<IIQQ", request)
        said = answer(operation, node, request[40:], log)
        if said is not None:
            error, data = (-said, b"") if isinstance(said, int) else (0, said)
            os.write(device, struct.pack("<IiQ", 16 + len(data), error, unique) + data)


def main(words):
    folder, log = words[-2:]
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if ctypes.CDLL(None, use_errno=True).mount(b"hanging", folder.encode(), b"fuse.hanging", 6, options) != 0:
        sys.exit(f"mounting {folder}: {os.strerror(ctypes.get_errno())}")
    if "--background" in words and os.fork() > 0:
        os._exit(0)
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    with open(log, "w") as file:
        serve(device, file)


if __name__ == "__main__":
    main(sys.argv[1:])
