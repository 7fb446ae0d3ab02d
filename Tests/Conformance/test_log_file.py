"""The log in a file (docs/server.md#the-log)."""

import gzip
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest
from support.server import AllInOneServer, BINARY, complaint
from support.waiting import eventually


class LoggingServer(AllInOneServer):
    def __init__(self, world, **keys):
        self.keys = keys
        super().__init__(world)

    def write_configuration(self):
        self.file = self.folder / "logs" / "server.log"
        super().write_configuration()
        keys = {"file_enabled": "true", "file_path": f'"{self.file}"', "format": '"json"', **self.keys}
        more = "".join(f"{key} = {value}\n" for key, value in keys.items())
        self.config.write_text(self.config.read_text().replace("[log]\n", "[log]\n" + more, 1))

    def files(self):
        return sorted(self.file.parent.iterdir())

    def lines(self):
        """All that is kept, the oldest first."""
        def age(path):
            return -int(path.name.removesuffix(".gz").rpartition(".")[2]) if path != self.file else 0

        kept = []
        for path in sorted((path for path in self.files() if not path.name.endswith(".part")), key=age):
            data = path.read_bytes()
            data = gzip.decompress(data) if path.suffix == ".gz" else data
            assert not data or data.endswith(b"\n"), path
            kept += data.decode().splitlines()
        return kept


def ended(server):
    """Nothing is left that writes the log."""
    return subprocess.run(["fuser", str(server.file)], capture_output=True).returncode != 0


@pytest.fixture
def logging(world, request):
    server = LoggingServer(world, **getattr(request, "param", {}))
    try:
        yield server.start()
    finally:
        server.tear_down()


def test_no_line_of_any_process_is_lost_or_cut_in_rotations(tmp_path):
    """Four processes write at once, what writes the file is asked to end meanwhile, and rotates a hundred times."""
    file = tmp_path / "server.log"
    writer = subprocess.Popen([BINARY, "log-writer", str(file), "4000", "1000", "0", "gzip"], stdin=subprocess.PIPE)
    script = "import os, sys\nfor n in range(3000): os.write(1, f'{sys.argv[1]}-{n} {chr(120) * 40}\\n'.encode())"
    writers = [subprocess.Popen(["python3", "-c", script, str(number)], stdout=writer.stdin) for number in range(4)]
    writer.stdin.close()
    eventually(file.exists, what="the log")
    writer.send_signal(signal.SIGTERM)
    assert [process.wait(timeout=60) for process in writers] == [0] * 4
    assert writer.wait(timeout=60) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert len(names) > 100 and names == {"server.log"} | {f"server.log.{n}.gz" for n in range(1, len(names))}
    lines = []
    for number in range(len(names) - 1, 0, -1):
        data = gzip.decompress((tmp_path / f"server.log.{number}.gz").read_bytes())
        assert len(data) <= 4000 and data.endswith(b"\n")
        lines += data.decode().splitlines()
    lines += file.read_text().splitlines()
    for number in range(4):
        own = [line for line in lines if line.startswith(f"{number}-")]
        assert own == [f"{number}-{n} " + "x" * 40 for n in range(3000)]
    assert len(lines) == 12000


@pytest.mark.parametrize("logging", [{"file_max_bytes": 300}], indirect=True)
def test_all_processes_of_a_server_write_into_one_file_that_is_rotated(logging):
    server = logging
    server.stop()
    eventually(lambda: ended(server), what="the end of the log")
    lines = [json.loads(line) for line in server.lines()]
    assert "supervisor" in {line.get("process") for line in lines}
    assert 3 <= len(server.files()) <= 6 and any(path.suffix == ".gz" for path in server.files())
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in server.files())
    # Nothing is on standard error any more.
    assert server.log.read_text() == ""


def test_what_was_said_last_is_there_after_a_kill_and_the_next_server_goes_on(logging):
    server = logging
    server.kill()
    eventually(lambda: ended(server), what="the end of the log")
    before = server.lines()
    assert before
    server.start()
    server.stop()
    eventually(lambda: ended(server), what="the end of the log")
    assert server.lines()[:len(before)] == before and len(server.lines()) > len(before)


def test_its_writer_is_started_again_and_nothing_waits_for_ever(logging):
    server = logging
    writer = subprocess.run(
        ["ps", "--ppid", str(server.process.pid), "-o", "pid=,args="], capture_output=True, text=True).stdout
    (pid,) = [line.split()[0] for line in writer.splitlines() if "log-writer" in line]
    os.kill(int(pid), signal.SIGKILL)
    eventually(lambda: "is started again" in server.log.read_text())
    size = server.file.stat().st_size
    def more():
        server.process.send_signal(signal.SIGHUP)
        return server.file.stat().st_size > size
    eventually(more, what="a line after it")
    assert server.process.poll() is None


def test_a_link_in_its_place_is_refused_where_the_server_is_started(world):
    server = LoggingServer(world)
    try:
        server.file.parent.mkdir()
        target = pathlib.Path(server.folder / "target")
        target.write_text("theirs")
        server.file.symlink_to(target)
        process = server.launch()
        assert process.wait(timeout=60) == 1
        assert "it is a symbolic link" in complaint(server.log.read_text())
        assert target.read_text() == "theirs"
        # What keeps it from starting otherwise is said there, too.
        server.file.unlink()
        server.config.write_text(server.config.read_text().replace("[server]\n", f'[server]\nhost = "192.0.2.1"\n', 1))
        process = server.launch()
        assert process.wait(timeout=60) == 1
        assert "cannot listen on 192.0.2.1" in complaint(server.log.read_text())
    finally:
        # What ends with a server that could not start may write a moment longer.
        eventually(lambda: shutil.rmtree(server.folder, ignore_errors=True) or not server.folder.exists(), what="the end of its files")
