"""The disk refuses a change of a policy: the client is told so, and neither the kernel nor the policy has changed."""

import errno
import json
import pathlib

import pytest
from arena import deny_but
from guards import PROBED, allow, allowed, reaches
from support.world import run

OPEN, WANTED = PROBED[0], PROBED[1]


def fill(folder):
    """Until nothing fits: the file that takes the room."""
    path = pathlib.Path(folder) / "filling"
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC, error
    return path


def refused(ask, attacker):
    """Every kind of change is refused, in the contract's shape, and changes nothing."""
    for method, body in (
        ("PATCH", allow(WANTED)), ("PATCH", [{"action": "deny", "target": OPEN}]), ("DELETE", [OPEN]),
        ("PUT", {"defaultAction": "allow", "egress": []}),
    ):
        status, kind, text = ask(method, body)
        assert (status, kind) == (500, "text/plain; charset=utf-8"), (method, status, text)
        assert "nothing was changed" in text and "/" not in text.replace("text/plain", "")
        assert allowed(json.loads(ask("GET", None)[2])["policy"]) == {OPEN}
        assert reaches(attacker, [OPEN, WANTED]) == {OPEN}


def accepted(ask, attacker):
    assert ask("PATCH", allow(WANTED))[0] == 200
    assert reaches(attacker, [OPEN, WANTED]) == {OPEN, WANTED}
    assert ask("DELETE", [WANTED])[0] == 200
    assert reaches(attacker, [OPEN, WANTED]) == {OPEN}


def asks(attacker):
    def ask(method, body):
        answer = attacker.policy(method, **({} if body is None else {"json": body}))
        return answer.status_code, answer.headers["content-type"], answer.text

    return ask


def test_a_full_disk_changes_nothing_and_one_with_room_again_does(guard):
    arena = guard(disk=256 << 10)
    attacker = arena.attacker(deny_but(OPEN))
    filling = fill(arena.state)
    refused(asks(attacker), attacker)
    # Nothing is promised to a sandbox that cannot be written down.
    other = arena.attacker(guarded=False)
    answer = arena.admin.put(f"/sandboxes/{other.id}", json={"namespace": f"/run/netns/{other.namespace}"})
    assert answer.status_code == 500 and other.id not in arena.admin.get("/sandboxes").json()
    # Also the next guard, which reads what the disk had room for.
    arena.kill()
    arena.start()
    refused(asks(attacker), attacker)
    filling.unlink()
    accepted(asks(attacker), attacker)
    arena.kill()
    arena.start()
    assert reaches(attacker, [OPEN, WANTED]) == {OPEN}


def test_a_large_policy_on_a_full_disk_is_changed_durably_or_not_at_all(guard):
    arena = guard(disk=768 << 10)
    names = [{"action": "allow", "target": f"n{number}.example"} for number in range(1000)]
    attacker = arena.attacker(deny_but(OPEN, *names))
    filling = fill(arena.state)
    expected, refusals = {OPEN}, 0
    for number in range(300):
        # A journal may have room for a while.
        target, inverse = PROBED[1 + number % 5], number // 5 % 2
        answer = attacker.policy(*(["DELETE"] if inverse else ["PATCH"]), json=[target] if inverse else allow(target))
        assert answer.status_code in (200, 500), answer.text
        if answer.status_code == 500:
            refusals += 1
        elif inverse:
            expected.discard(target)
        else:
            expected.add(target)
        if refusals == 5:
            break
    assert refusals
    assert reaches(attacker, PROBED) == expected
    arena.kill()
    arena.start()
    assert allowed(attacker.policy("GET").json()["policy"]) == reaches(attacker, PROBED) == expected
    filling.unlink()
    assert attacker.policy("PATCH", json=allow(*PROBED)).status_code == 200
    assert reaches(attacker, PROBED) == set(PROBED)


def test_a_file_system_that_is_read_only_changes_nothing(guard):
    arena = guard(disk=256 << 10)
    attacker = arena.attacker(deny_but(OPEN))
    run("mount", "--bind", str(arena.state), str(arena.state))
    try:
        run("mount", "-o", "remount,bind,ro", str(arena.state))
        refused(asks(attacker), attacker)
    finally:
        run("umount", str(arena.state))
    accepted(asks(attacker), attacker)


def test_a_name_that_cannot_be_changed_on_the_disk_changes_nothing(guard, shim, tmp_path):
    """The kernel has the rules by then: they are put back."""
    arena = guard(environment={"LD_PRELOAD": str(shim), "FAULTS": str(tmp_path)})
    attacker = arena.attacker(deny_but(OPEN))
    (tmp_path / "rename").touch()
    refused(asks(attacker), attacker)
    (tmp_path / "rename").unlink()
    accepted(asks(attacker), attacker)


@pytest.mark.parametrize("fault", ["fsync", "rename", "full"])
def test_a_sidecar_whose_policy_file_cannot_be_written_changes_nothing(sidecar, shim, tmp_path, fault):
    one = sidecar(environment={"LD_PRELOAD": str(shim), "FAULTS": str(tmp_path)})

    def ask(method, body):
        status, text = one.request(method, body=body)
        return status, "text/plain; charset=utf-8" if status != 200 else "", text

    assert ask("PUT", deny_but(OPEN))[0] == 200
    before = one.policy_file.read_text()
    folder = one.policy_file.parent
    if fault == "full":
        run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder))
        try:
            fill(folder)
            refused(ask, one.attacker)
        finally:
            run("umount", str(folder))
    else:
        (tmp_path / fault).touch()
        refused(ask, one.attacker)
        (tmp_path / fault).unlink()
    assert one.policy_file.read_text() == before
    accepted(ask, one.attacker)
    one.kill()
    one.start()
    assert reaches(one.attacker, [OPEN, WANTED]) == {OPEN}
