"""Being in another network namespace for a while."""

import contextlib
import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNET = 0x40000000


@contextlib.contextmanager
def within(namespace):
    """This thread, and what it starts, is in the namespace of that name."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    target = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        assert LIBC.setns(target, NEWNET) == 0, os.strerror(ctypes.get_errno())
        yield
    finally:
        assert LIBC.setns(before, NEWNET) == 0
        os.close(target)
        os.close(before)
