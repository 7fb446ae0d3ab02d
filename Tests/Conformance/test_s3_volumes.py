"""Buckets of Amazon's protocol as volumes: the real s3fs and the real rclone against a real server of that protocol on loopback
(docs/volumes.md)."""

import os
import pathlib
import shutil

import httpx
import pytest
from support.inside import exit_code, say
from support.object_storage import KEYS, bucket, object_storage
from support.server import AllInOneServer
from support.waiting import answers, eventually
from test_contract import refused

pytestmark = [
    pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="the machine has no /dev/fuse"),
]


@pytest.fixture(scope="module")
def storage():
    with object_storage() as place:
        yield place


@pytest.fixture(scope="module", params=["s3fs", "rclone"])
def buckets(world, storage, request):
    if shutil.which(request.param) is None:
        pytest.skip(f"Debian's package {request.param} is not installed")
    server = AllInOneServer(world)
    server.program = request.param
    server.tables = (f'[storage]\nossfs_mount_root = "{server.folder}/buckets"\nbucket_endpoints = ["{storage}"]\n'
                     f's3_program = "{request.param}"\n')
    server.write_configuration()
    try:
        yield server.start()
    finally:
        server.tear_down()


@pytest.fixture
def box(buckets):
    """A sandbox with one bucket, by plain HTTP: the official client has no such field."""
    made = []

    def box(entry):
        from opensandbox import SandboxSync

        answer = buckets.api.post("/v1/sandboxes", json=buckets.body(volumes=[entry]))
        assert answer.status_code == 202, answer.text
        made.append(SandboxSync.connect(answer.json()["id"], connection_config=buckets.connection()))
        return made[-1]

    yield box
    for sandbox in made:
        buckets.api.delete(f"/v1/sandboxes/{sandbox.id}")
        sandbox.close()


def programs(server):
    """The processes that show buckets of a server, with what is said of them in the process list."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        words = answers(lambda: (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(), OSError) or ""
        if server.program in words and str(server.folder) in words:
            found[int(folder.name)] = words
    return found


def test_a_bucket_is_read_and_written_and_its_program_goes_with_the_sandbox(buckets, storage, box):
    httpx.put(f"http://{storage}/data/there.txt", content=b"of the bucket\n")
    sandbox = box(bucket(storage))
    assert say(sandbox, "cat /mnt/bucket/there.txt").strip() == "of the bucket"
    say(sandbox, "echo of the sandbox > /mnt/bucket/new.txt; mkdir -p /mnt/bucket/folder")
    # It is private there, so another mount has to tell.
    other = box(bucket(storage))
    assert eventually(lambda: say(other, "cat /mnt/bucket/new.txt || true")).strip() == "of the sandbox"
    running = programs(buckets)
    assert running and not any(KEYS["accessKeySecret"] in words for words in running.values())
    for process in running:
        limits = pathlib.Path(f"/proc/{process}/limits").read_text()
        assert "2147483648" in next(line for line in limits.splitlines() if "address space" in line)
    assert KEYS["accessKeySecret"] not in buckets.log.read_text(errors="replace")
    kept = [path for path in (buckets.folder / "run").glob("*") if path.is_file() and KEYS["accessKeySecret"].encode() in path.read_bytes()]
    assert not kept
    for one in (sandbox, other):
        buckets.api.delete(f"/v1/sandboxes/{one.id}")
    eventually(lambda: not programs(buckets), what="the end of the program")
    assert str(buckets.folder / "buckets") not in pathlib.Path("/proc/self/mounts").read_text()


def test_its_program_is_in_no_group_that_ends_with_the_server_and_outlives_it(buckets, storage, box):
    httpx.put(f"http://{storage}/data/kept.txt", content=b"kept\n")
    sandbox = box(bucket(storage))
    before = set(programs(buckets))
    assert before
    for process in before:
        groups = dict(line.split(":", 2)[1:] for line in pathlib.Path(f"/proc/{process}/cgroup").read_text().splitlines())
        assert groups.get("name=systemd", groups.get("")) == "/sallyport-storage", groups
    buckets.kill()
    buckets.start()
    assert say(sandbox, "cat /mnt/bucket/kept.txt").strip() == "kept" and set(programs(buckets)) == before


def test_a_part_of_it_to_read_only(storage, box):
    httpx.put(f"http://{storage}/data/part/", content=b"")
    httpx.put(f"http://{storage}/data/part/inner.txt", content=b"inner\n")
    sandbox = box(bucket(storage, subPath="part", readOnly=True))
    assert say(sandbox, "cat /mnt/bucket/inner.txt").strip() == "inner"
    assert exit_code(sandbox, "echo x > /mnt/bucket/other.txt") != 0 and exit_code(sandbox, "test -e /mnt/bucket/there.txt") != 0


def test_options_of_a_request_reach_the_program(buckets, storage, box):
    sandbox = box(bucket(storage, options=["ro", "umask=0027"]))
    assert exit_code(sandbox, "echo x > /mnt/bucket/no.txt") != 0
    assert not any("--read-only=" in words for words in programs(buckets).values())


def test_an_option_that_the_program_has_not_is_refused(buckets, storage):
    if buckets.program == "s3fs":
        pytest.skip("it has them all")
    for option in "max_stat_cache_size=5", "ro=1", "umask":
        answer = buckets.api.post("/v1/sandboxes", json=buckets.body(volumes=[bucket(storage, options=[option])]))
        refused(answer, 400, "VOLUME::INVALID_OSSFS_OPTION")
    assert not programs(buckets)


def test_a_bucket_that_is_not_there_is_told_without_the_keys(buckets, storage):
    body = buckets.body(volumes=[bucket(storage, bucket="absent")])
    if buckets.program == "rclone":
        # It takes one for an empty folder, and makes none.
        answer = buckets.api.post("/v1/sandboxes", json=body)
        assert answer.status_code == 202 and httpx.get(f"http://{storage}/absent").status_code == 404
        buckets.api.delete(f"/v1/sandboxes/{answer.json()['id']}")
        eventually(lambda: not programs(buckets), what="the end of the program")
        return
    answer = refused(buckets.api.post("/v1/sandboxes", json=body), 500, "VOLUME::OSSFS_MOUNT_FAILED")
    assert KEYS["accessKeySecret"] not in answer["message"]
    eventually(lambda: not programs(buckets))


@pytest.mark.parametrize(("entry", "status", "code"), [
    ({"options": ["passwd_file=/etc/shadow"]}, 400, "VOLUME::INVALID_OSSFS_OPTION"), ({"options": ["ro,allow_root"]}, 400, "VOLUME::INVALID_OSSFS_OPTION"),
    ({"region": "eu,uid=0"}, 400, "SANDBOX::INVALID_PARAMETER"), ({"endpoint": "http://127.0.0.1:1"}, 400, "VOLUME::INVALID_OSSFS_ENDPOINT"),
    ({"endpoint": "http://h,url=x"}, 400, None), ({"version": "1.0"}, 422, None), ({"bucket": "-o"}, 422, None), ({"bucket": "-oo"}, 400, None),
])
def test_nothing_of_a_request_becomes_an_option(buckets, storage, entry, status, code):
    answer = buckets.api.post("/v1/sandboxes", json=buckets.body(volumes=[bucket(storage, **entry)]))
    refused(answer, status, code)
    assert not programs(buckets)
