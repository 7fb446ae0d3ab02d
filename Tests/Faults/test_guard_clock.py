"""The wall clock jumps (docs/threats.md, E22): no time in the guard depends on it."""

import json
from datetime import datetime

from arena import ONE, deny_but
from guards import NEVER, PROBED, allow, reaches

DAY = 86_400


def test_a_wall_clock_that_jumps_closes_nothing_and_opens_nothing(guard, shim, tmp_path):
    arena = guard(environment={"LD_PRELOAD": str(shim), "FAULTS": str(tmp_path)})
    one = arena.attacker(deny_but("one.example", PROBED[0]))
    assert one.asks("one.example") == [ONE]
    asked = arena.names.count("one.example")
    token = arena.admin.get(f"/sandboxes/{one.id}/token").text
    times = []
    for days in (0, 400, -400, 0):
        (tmp_path / "clock").write_text(str(days * DAY))
        # Still learned, and still cached: the record lives for a minute.
        assert reaches(one, [ONE, PROBED[0], NEVER]) == {ONE, PROBED[0]}
        assert one.asks("one.example") == [ONE]
        assert arena.names.count("one.example") == asked
        assert one.policy("PATCH", json=allow(PROBED[1])).status_code == 200
        assert one.policy("DELETE", json=[PROBED[1]]).status_code == 200
        assert reaches(one, [PROBED[1]]) == set()
        assert one.asks("two.example") == []
        times.append(time_of_change(arena, one, token, 2 * len(times) + 2))
    # The control: it has seen the jumps.
    assert times[1] - times[0] > 399 * DAY and times[0] - times[2] > 399 * DAY, times
    # A guard that starts at another time takes over what was learned.
    (tmp_path / "clock").write_text(str(400 * DAY))
    arena.kill()
    arena.start()
    assert reaches(one, [ONE, PROBED[0], NEVER]) == {ONE, PROBED[0]}


def time_of_change(arena, attacker, token, number):
    """When that change of the policy was, in seconds since 1970, by the events."""
    headers = {"OPENSANDBOX-EGRESS-AUTH": token}
    with arena.admin.stream("GET", f"/sandboxes/{attacker.id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            event = json.loads(line[5:]) if line.startswith("data:") else {}
            number -= event.get("event") == "policyChanged"
            if number == 0:
                return datetime.fromisoformat(event["time"]).timestamp()
