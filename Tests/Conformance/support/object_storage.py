"""A real server of Amazon's S3 on loopback."""

import contextlib
import subprocess

import httpx
from support.server import ROOT, free_port
from support.waiting import answers, eventually

# As a client states it; this storage takes any pair.
KEYS = {"accessKeyId": "AKIATEST", "accessKeySecret": "tops3cret-of-the-bucket"}


@contextlib.contextmanager
def object_storage():
    """Where it listens, `127.0.0.1:port`, with the bucket `data`."""
    environment = ROOT / ".build-conformance/s3"
    subprocess.run([ROOT / "scripts/python-environment.sh", "s3", "s3.txt"], check=True, timeout=600)
    place = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen(
        [environment / "bin/moto_server", "-H", "127.0.0.1", "-p", place.rpartition(":")[2]], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: answers(lambda: httpx.get(f"http://{place}/").status_code, httpx.TransportError), what="the storage")
        assert httpx.put(f"http://{place}/data").status_code == 200
        yield place
    finally:
        server.kill()
        server.wait()


def bucket(storage, bucket="data", **more):
    """A volume of a request."""
    given = {key: more.pop(key) for key in ("readOnly", "subPath") if key in more}
    return {"name": "v", "mountPath": "/mnt/bucket", "s3": {"bucket": bucket, "endpoint": f"http://{storage}", **KEYS, **more}, **given}
