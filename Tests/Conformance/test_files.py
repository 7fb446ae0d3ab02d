"""Files, by the official SDK, directly and through the server's proxy (docs/wire.md#files)."""

import io

import pytest
from opensandbox.exceptions import SandboxApiException
from opensandbox.models.filesystem import (
    ContentReplaceEntry, DirectoryListEntry, MoveEntry, SearchEntry, SetPermissionEntry, WriteEntry)
from support.inside import say


@pytest.fixture(params=[False, True], ids=["direct", "proxied"])
def box(create, request):
    return create(use_server_proxy=request.param)


def refused(status, call, *words, **options):
    with pytest.raises(SandboxApiException) as refusal:
        call(*words, **options)
    assert refusal.value.status_code == status, refusal.value
    return refusal.value


def test_what_is_written_is_read_again(box):
    data = bytes(range(256)) * 400
    box.files.write_files([
        WriteEntry(path="/tmp/a/b/binary", data=data, mode=600),
        WriteEntry(path="/tmp/a/text", data="grüße\n", mode=644),
        WriteEntry(path="/tmp/a/stream", data=io.BytesIO(data)),
        WriteEntry(path="/tmp/a/name with \"quotes\" ü", data="x"),
    ])
    assert box.files.read_bytes("/tmp/a/b/binary") == data
    assert box.files.read_file("/tmp/a/text") == "grüße\n"
    assert b"".join(box.files.read_bytes_stream("/tmp/a/stream", chunk_size=1000)) == data
    assert box.files.read_file("/tmp/a/name with \"quotes\" ü") == "x"
    assert say(box, "stat -c %a /tmp/a/b/binary /tmp/a/text /tmp/a/stream").split() == ["600", "644", "755"]


def test_folders_that_are_made_for_a_file_are_its_owners(box):
    box.files.write_files([WriteEntry(path="/srv/new/deep/a", data="x", owner="sandbox", group="sandbox")])
    assert say(box, "stat -c %U:%G /srv/new /srv/new/deep /srv/new/deep/a /srv").split() == ["sandbox:sandbox"] * 3 + ["root:root"]


def test_several_megabytes_go_up_and_down_whole(box):
    data = b"0123456789abcdef" * (1 << 19)
    box.files.write_file("/tmp/large", data)
    assert say(box, "stat -c %s /tmp/large") == str(len(data))
    assert box.files.read_bytes("/tmp/large") == data


def test_writing_again_replaces_the_whole_file(box):
    box.files.write_file("/tmp/file", "a long first content")
    box.files.write_file("/tmp/file", "short")
    assert box.files.read_file("/tmp/file") == "short"


def test_a_part_of_a_file_is_read_by_bytes_or_by_lines(box):
    box.files.write_file("/tmp/lines", "one\ntwo\nthree\nfour\n")
    assert box.files.read_bytes("/tmp/lines", range_header="bytes=4-6") == b"two"
    assert box.files.read_bytes("/tmp/lines", range_header="bytes=-5") == b"four\n"
    assert box.files.read_file("/tmp/lines", offset=2, limit=2) == "two\nthree"
    refused(416, box.files.read_bytes, "/tmp/lines", range_header="bytes=100-200")
    refused(400, box.files.read_bytes, "/tmp/lines", range_header="bytes=0-1", offset=1)


def test_a_file_that_is_not_there_is_not_found(box):
    assert refused(404, box.files.read_file, "/tmp/missing").error.code == "FILE_NOT_FOUND"
    refused(404, box.files.get_file_info, ["/tmp/missing"])
    refused(404, box.files.move_files, [MoveEntry(src="/tmp/missing", dest="/tmp/x")])
    refused(404, box.files.list_directory, DirectoryListEntry(path="/tmp/missing"))


def test_information_about_a_file_says_what_it_is(sandbox):
    sandbox.files.write_file("/tmp/file", "12345", mode=640)
    say(sandbox, "ln -s /tmp/file /tmp/link")
    found = sandbox.files.get_file_info(["/tmp/file", "/tmp"])
    info = found["/tmp/file"]
    assert (info.path, info.entry_type, info.size, info.mode) == ("/tmp/file", "file", 5, 640)
    assert (info.owner, info.group) == ("root", "root")
    assert info.modified_at.tzinfo is not None
    assert found["/tmp"].entry_type == "directory"


def test_folders_are_made_listed_and_deleted(box):
    box.files.create_directories([WriteEntry(path="/tmp/top/sub", mode=700), WriteEntry(path="/tmp/top/other")])
    box.files.write_file("/tmp/top/sub/deep", "x")
    names = {entry.path for entry in box.files.list_directory(DirectoryListEntry(path="/tmp/top"))}
    assert names == {"/tmp/top/sub", "/tmp/top/other"}
    names = {entry.path for entry in box.files.list_directory(DirectoryListEntry(path="/tmp/top", depth=2))}
    assert names == {"/tmp/top/sub", "/tmp/top/other", "/tmp/top/sub/deep"}
    assert box.files.list_directory(DirectoryListEntry(path="/tmp/top", depth=0)) == []
    assert say(box, "stat -c %a /tmp/top/sub") == "700"
    refused(400, box.files.list_directory, DirectoryListEntry(path="/tmp/top/sub/deep"))
    box.files.delete_directories(["/tmp/top", "/tmp/never-there"])
    assert box.commands.run("test -e /tmp/top").exit_code == 1


def test_files_are_found_by_the_pattern_of_their_names(box):
    for name in ("a.py", "sub/b.py", "sub/c.txt"):
        box.files.write_file(f"/tmp/tree/{name}", "x")
    found = {entry.path for entry in box.files.search(SearchEntry(path="/tmp/tree", pattern="*.py"))}
    assert found == {"/tmp/tree/a.py", "/tmp/tree/sub/b.py"}
    assert box.files.search(SearchEntry(path="/tmp/tree", pattern="*.rs")) == []


def test_text_is_replaced_and_the_replacements_are_counted(box):
    box.files.write_file("/tmp/file", "one two one")
    counted = box.files.replace_contents_detailed(
        [ContentReplaceEntry(path="/tmp/file", old_content="one", new_content="1")])
    assert [(result.path, result.replaced_count) for result in counted] == [("/tmp/file", 2)]
    box.files.replace_contents([ContentReplaceEntry(path="/tmp/file", old_content="two", new_content="2")])
    assert box.files.read_file("/tmp/file") == "1 2 1"


def test_rights_and_owners_are_set(box):
    box.files.write_file("/tmp/file", "x")
    box.files.set_permissions([SetPermissionEntry(path="/tmp/file", mode=600, owner="sandbox", group="sandbox")])
    assert say(box, "stat -c '%a %U %G' /tmp/file") == "600 sandbox sandbox"


def test_a_file_is_moved_and_deleted(box):
    box.files.write_file("/tmp/file", "x")
    box.files.move_files([MoveEntry(src="/tmp/file", dest="/tmp/new/place")])
    assert box.files.read_file("/tmp/new/place") == "x"
    box.files.write_file("/tmp/second", "y")
    refused(500, box.files.move_files, [MoveEntry(src="/tmp/second", dest="/tmp/new/place")])
    assert box.files.read_file("/tmp/new/place") == "x"
    box.files.delete_files(["/tmp/new/place", "/tmp/never-there"])
    assert box.commands.run("test -e /tmp/new/place").exit_code == 1
    refused(500, box.files.delete_files, ["/tmp/new"])
    assert box.commands.run("test -d /tmp/new").exit_code == 0


def test_files_are_touched_with_the_rights_of_another_user(box):
    files = box.files_with_identity(1000, 1000)
    say(box, "mkdir -m 777 /tmp/shared; echo secret > /tmp/secret; chmod 600 /tmp/secret")
    files.write_file("/tmp/shared/mine", "x")
    assert say(box, "stat -c '%u %g' /tmp/shared/mine") == "1000 1000"
    assert files.read_file("/tmp/shared/mine") == "x"
    with pytest.raises(SandboxApiException):
        files.read_file("/tmp/secret")
    assert box.files.read_file("/tmp/secret") == "secret\n"
