"""Every stream of execd is the same to the readers of five official SDKs, which differ in what they pass over in silence
(docs/wire.md#event-streams)."""

import os
import threading

import httpx
import pytest
from support.habits import MIB, READERS
from support.waiting import eventually
# execd by itself: what it sends is what a sandbox's sends.
from test_transfers import execd  # noqa: F401

ODD = "a\u2028b\u2029c\u0085d\u00e9 \U0001f600\t\"\\ data: {"


def heard(body, of_code=False):
    """What all of them tell, which is the same."""
    told = {name: reader.read(body, of_code) for name, reader in READERS.items()}
    first = told["JavaScript"]
    assert all(one == first for one in told.values()) and first.lost == [], {
        name: (one.lost[:1], one.out[:200], one.error) for name, one in told.items()}
    return first


def test_the_readers_of_five_sdks_tell_the_same_of_every_stream(execd, tmp_path):  # noqa: F811
    def stream(path, **body):
        answer = execd.post(path, json=body)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        return answer.content

    gate, waiting = tmp_path / "gate", []
    os.mkfifo(gate)

    def wait():
        with httpx.stream("POST", f"http://127.0.0.1:{execd.port}/command", json={"command": f"cat {gate}"}, timeout=30) as answer:
            for part in answer.iter_raw():
                waiting.append(part)

    # A test that fails before the gate opens leaves it to wait until execd is gone.
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()

    done = heard(stream("/command", command="printf 'one\\ntwo'; echo bad >&2; exit 3"))
    assert done.id and (done.out, done.err, done.error, done.exit_code) == ("one\ntwo", "bad", ("CommandExecError", "3"), 3)
    done = heard(stream("/command", command="true"))
    assert (done.out, done.error, done.exit_code) == ("", None, 0)
    done = heard(stream("/command", command=f"cat <<'end'\n{ODD}\nend"))
    assert done.out == ODD
    done = heard(stream("/command", command=f"head -c {5 * MIB} /dev/zero | tr '\\0' '\"'"))
    assert done.out == '"' * (5 * MIB) and done.exit_code == 0

    session = execd.post("/session").json()["session_id"]
    done = heard(stream(f"/session/{session}/run", command="cd /usr; pwd; (exit 7)"))
    assert (done.out, done.exit_code) == ("/usr", 7)
    assert heard(stream(f"/session/{session}/run", command="pwd")).out == "/usr"

    def code(text):
        return heard(stream("/code", code=text, context={"language": "python", "id": None, "cwd": None}), of_code=True)

    done = code(f"print({ODD!r})\nimport sys; print('bad', file=sys.stderr)\n40 + 2")
    assert (done.out, done.err, done.results, done.complete) == (ODD + "\n", "bad\n", ["42"], True) and done.count
    done = code(f"print('x' * {5 * MIB})\nrepr")
    assert done.out == "x" * (5 * MIB) + "\n" and done.complete
    assert code("1 / 0").error == ("ZeroDivisionError", "division by zero")
    assert len(code(f"'y' * {5 * MIB}").results) == 1, "told of, not sent"

    eventually(lambda: b'"ping"' in b"".join(waiting), what="a sign of life")
    gate.write_text("over")
    thread.join(30)
    done = heard(b"".join(waiting))
    assert done.pings >= 1 and (done.out, done.exit_code) == ("over", 0)


EVENT = '{"type":"stdout","text":"x","timestamp":1}'


@pytest.mark.parametrize("body, of_code, losers", [
    (f"{EVENT}\n\n", True, set()), (f"{EVENT}\n\n", False, set()),
    (f"data: {EVENT}\n\n", True, {"Kotlin"}), (f"data: {EVENT}\n\n", False, set()),
    (f"{EVENT}\n{EVENT}\n\n", False, {"Go", "Python"}),
    (f"data: {EVENT}", False, {"Python"}),
    (EVENT.replace("1}", "1.0}") + "\n\n", True, {"CSharp", "Kotlin", "Python"}),
    (EVENT.replace(',"timestamp":1', "") + "\n\n", True, {"Kotlin", "Python"}),
    (EVENT.replace('"x"', '"a\u2028b"') + "\n\n", True, {"Python"}),
    (EVENT.replace('"x"', f'"{"x" * 4 * MIB}"') + "\n\n", False, {"Go"}), ("", False, {"Go"}),
    (EVENT.replace("stdout", "status") + "\n\n", False, {"CSharp", "Go", "JavaScript", "Kotlin", "Python"}),
    ('{"type":"result","results":{"text":"1"},"timestamp":1}\n\n', True, {"Go"}),
    ('{"type":"result","results":{"text/plain":"1"},"timestamp":1}\n\n', True, {"Kotlin"}),
], ids=lambda value: str(value)[:40] if not isinstance(value, set) else "-".join(sorted(value)) or "none")
def test_a_stream_that_is_otherwise_is_lost_on_those_who_would_lose_it(body, of_code, losers):
    wanted = body.count('"timestamp"') or body.count('"type"')

    def loses(reader):
        try:
            told = reader.read(body.encode(), of_code)
        except AssertionError:
            return True
        got = len(told.results) + told.out.count("x") + told.out.count("a\u2028b")
        return bool(told.lost) or got < wanted

    assert {name for name, reader in READERS.items() if loses(reader)} == losers
