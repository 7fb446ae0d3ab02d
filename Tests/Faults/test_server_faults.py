"""What happens around a server: its disk becomes read-only, somebody locks its store, the wall clock jumps, crowds come, and records
are many. A refused request changes nothing, what was acknowledged stays, and all goes on without a restart (docs/threats.md, E22)."""

import concurrent.futures
import contextlib
import sqlite3
import uuid
from datetime import datetime, timedelta

import pytest
from support.inside import fetches, resolves, say
from support.server import deny_but
from support.waiting import eventually
from support.world import run
from test_crashes import connected

DAY = 86_400
CROWD = 200
MANY = 10_000


def is_an_error_of_the_contract(answer):
    return answer.status_code >= 500 and set(answer.json()) >= {"code", "message"} and answer.headers["X-Request-ID"]


@contextlib.contextmanager
def read_only(folder):
    """For whatever is opened from now on; what is open stays writable."""
    run("mount", "--rbind", str(folder), str(folder))
    try:
        run("mount", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        run("umount", "--lazy", str(folder))


def test_a_disk_that_is_read_only_refuses_creates_and_nothing_else(own_server):
    sandbox = own_server.create(network_policy=deny_but("one.example"))
    before = own_server.leftovers.folders()
    with own_server.api as api:
        with read_only(own_server.state):
            refused = api.post("/v1/sandboxes", json=own_server.body())
            assert is_an_error_of_the_contract(refused), refused.text
            assert [item["id"] for item in api.get("/v1/sandboxes").json()["items"]] == [sandbox.id]
            assert say(sandbox, "echo goes on") == "goes on"
            assert fetches(sandbox, "http://one.example/") and not resolves(sandbox, "two.example")
        assert own_server.leftovers.folders() == before
        made = api.post("/v1/sandboxes", json=own_server.body())
        assert made.status_code == 202, made.text


def test_a_store_that_somebody_has_locked_refuses_changes_and_answers_questions(own_server):
    sandbox = own_server.create(metadata={"team": "red"})
    locking = sqlite3.connect(own_server.state / "sallyport.db", isolation_level=None, timeout=5)
    with contextlib.closing(locking), own_server.api as api:
        path = f"/v1/sandboxes/{sandbox.id}"
        locking.execute("begin immediate")
        with concurrent.futures.ThreadPoolExecutor() as clients:
            change = clients.submit(api.post, "/v1/sandboxes", json=own_server.body())
            assert api.get(path).json()["metadata"] == {"team": "red"}
            assert api.get("/v1/sandboxes").status_code == 200
            assert is_an_error_of_the_contract(change.result()), change.result().text
        assert [item["id"] for item in api.get("/v1/sandboxes").json()["items"]] == [sandbox.id]
        locking.execute("rollback")
        eventually(lambda: len(own_server.leftovers.folders()) == 1, what="the end of what was refused")
        assert api.get(path).json()["metadata"] == {"team": "red"}
        assert api.patch(f"{path}/metadata", json={"team": "blue"}).status_code == 200
        assert api.post("/v1/sandboxes", json=own_server.body()).status_code == 202
    own_server.kill()
    own_server.start()
    assert connected(own_server, sandbox.id).get_info().metadata == {"team": "blue"}


def test_a_wall_clock_that_jumps_ends_what_has_come_to_its_end_and_nothing_else(own_server, shim, tmp_path):
    own_server.stop()
    clock = tmp_path / "clock"
    own_server.start(LD_PRELOAD=str(shim), FAULTS=str(tmp_path))
    policy = deny_but("one.example")
    kept = own_server.create(timeout=None, network_policy=policy)
    long, short = own_server.create(timeout=timedelta(days=30)), own_server.create(timeout=timedelta(hours=1))
    began = kept.get_info().created_at
    for days in (-400, 0):
        clock.write_text(str(days * DAY))
        assert set(own_server.ids()) == {kept.id, long.id, short.id}
        assert say(kept, "echo goes on") == "goes on"
        assert fetches(kept, "http://one.example/") and not resolves(kept, "two.example")
        with own_server.api as api:
            made = api.post("/v1/sandboxes", json=own_server.body(timeout=60)).json()
            # The control: the server sees the jump.
            assert abs(datetime.fromisoformat(made["createdAt"]) - began - timedelta(days=days)) < timedelta(hours=1)
            assert api.delete(f"/v1/sandboxes/{made['id']}").status_code == 204
        assert kept.get_info().created_at == began
    clock.write_text(str(DAY))
    another = own_server.create(timeout=timedelta(hours=1))
    eventually(lambda: set(own_server.ids()) == {kept.id, long.id, another.id}, within=60, what="the end of what is over")
    own_server.kill()
    own_server.start(LD_PRELOAD=str(shim), FAULTS=str(tmp_path))
    assert set(own_server.ids()) == {kept.id, long.id, another.id}
    assert fetches(connected(own_server, kept.id), "http://one.example/")


def test_a_crowd_creates_and_deletes_at_once(own_server):
    def life(number):
        with own_server.api as api:
            made = api.post("/v1/sandboxes", json=own_server.body(metadata={"number": str(number)}), timeout=300)
            if made.status_code == 429:
                return None
            assert made.status_code == 202, made.text
            name = made.json()["id"]
            assert api.get(f"/v1/sandboxes/{name}").json()["metadata"] == {"number": str(number)}
            assert api.delete(f"/v1/sandboxes/{name}", timeout=300).status_code == 204
            assert api.get(f"/v1/sandboxes/{name}").status_code == 404
            return name

    with concurrent.futures.ThreadPoolExecutor(CROWD) as clients:
        names = list(clients.map(life, range(CROWD)))
    assert None not in names and len(set(names)) == CROWD
    own_server.seen |= set(names)
    assert own_server.ids() == []
    own_server.expect_nothing_left()


@pytest.fixture
def many(own_server):
    """A server whose store has ten thousand sandboxes that have ended, beside one that runs."""
    source = own_server.create(
        entrypoint=["sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.05; done"], timeout=None, metadata={"a": "b"})
    source.files.write_file("/tmp/end", "")
    ended = source.id
    with own_server.api as api:
        eventually(lambda: api.get(f"/v1/sandboxes/{ended}").json()["status"]["state"] == "Terminated", what="its end")
    running = own_server.create()
    own_server.stop()
    with contextlib.closing(sqlite3.connect(own_server.state / "sallyport.db")) as store:
        columns = [row[1] for row in store.execute("pragma table_info(sandbox)")]
        row = dict(zip(columns, store.execute("select * from sandbox where id = ?", (ended,)).fetchone()))
        names = [str(uuid.uuid4()) for _ in range(MANY)]
        kind = {str: lambda text, name: text.replace(ended, name), bytes: lambda text, name: text.replace(ended.encode(), name.encode())}
        store.executemany(
            f"insert into sandbox ({', '.join(columns)}) values ({', '.join('?' * len(columns))})",
            [[kind.get(type(row[column]), lambda value, _: value)(row[column], name) for column in columns] for name in names])
        store.commit()
    own_server.start()
    yield own_server, {*names, ended}, running.id
    own_server.stop()
    with contextlib.closing(sqlite3.connect(own_server.state / "sallyport.db")) as store:
        store.execute("delete from sandbox where id != ?", (running.id,))
        store.commit()
    own_server.start()


def test_a_list_of_ten_thousand_has_each_once(many):
    server, ended, running = many
    assert set(server.ids()) == ended | {running}
    with server.api as api:
        def page(**query):
            answer = api.get("/v1/sandboxes", params=query)
            assert answer.status_code == 200, answer.text
            return answer.json()

        first = page(pageSize=200)
        assert first["pagination"]["totalItems"] == MANY + 2 and len(first["items"]) == 200
        assert [item["id"] for item in page(state="Running")["items"]] == [running]
        assert page(metadata="a=b", pageSize=1)["pagination"]["totalItems"] == MANY + 1
        assert page(page=10**6)["items"] == []
        made = api.post("/v1/sandboxes", json=server.body())
        assert made.status_code == 202 and page(pageSize=1)["items"][0]["id"] == made.json()["id"]
        assert api.delete(f"/v1/sandboxes/{made.json()['id']}").status_code == 204
