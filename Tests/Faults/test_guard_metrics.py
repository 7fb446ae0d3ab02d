"""A guard in a process of its own says what it counts, under the reference's names, wherever it is asked."""

import re
import socket

import httpx
import pytest
from arena import ONE, TWO, deny_but, response
from guards import FaultyArena
from support.waiting import eventually


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def arena():
    port = free_port()
    arena = FaultyArena(settings=f'metrics_listen = "127.0.0.1:{port}"\nupstream_timeout_seconds = 1\n')
    arena.metrics_port = port
    yield arena
    arena.close()
    assert not arena.leftovers()


def series(text):
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[:1] != "#"}


def test_metrics_of_the_guards_own_process(arena, attacker):
    arena.names.scripts["refusing.example"] = lambda query: response(query, code=5)
    arena.names.scripts["silent.example"] = lambda query: b"\0"
    one = attacker(deny_but("one.example", "refusing.example", "silent.example"))

    def metrics():
        answer = arena.admin.get("/metrics")
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return series(answer.text)

    before = metrics()
    assert one.asks("one.example") == [ONE] and one.asks("one.example") == [ONE]
    assert one.asks("two.example") == [] and one.asks("refusing.example") == []
    assert "SERVFAIL" in one.run("dig", "+tries=1", "+time=9", f"@{TWO}", "silent.example", "A").stdout
    after = metrics()

    def grown(name):
        return after.get(name, 0) - before.get(name, 0)

    assert grown("egress_policy_denied_total") == 1
    assert grown("egress_dns_query_duration_seconds_count") == 3, "one from the cache, one denied"
    assert 1 <= grown("egress_dns_query_duration_seconds_sum") < 9
    assert grown('egress_dns_query_failed_total{reason="rcode"}') == 1
    assert grown('egress_dns_query_failed_total{reason="upstream_error"}') == 1
    assert grown("egress_nftables_updates_total") >= 1
    assert after[f'egress_nftables_rules{{sandbox_id="{one.id}"}}'] == 4
    assert after["egress_system_memory_usage_bytes"] > 1 << 20
    # Not twice in one tick of the processor's clock.
    eventually(lambda: 0 <= metrics().get("egress_system_cpu_utilization_ratio", -1) <= 1, within=5, what="the processors' use")

    address = f"http://127.0.0.1:{arena.metrics_port}"
    text = httpx.get(address + "/metrics").text
    assert set(re.findall(r"^# TYPE (\S+)", text, re.M)) >= {
        "egress_policy_denied_total", "egress_dns_query_duration_seconds", "egress_dns_query_failed_total"}
    assert "one.example" not in text and "two.example" not in text, "no name is a label"
    assert httpx.get(address + "/sandboxes").status_code == 404, "metrics, and nothing else"
    assert httpx.put(address + f"/sandboxes/{one.id}").status_code == 404
    assert httpx.post(address + "/metrics").status_code == 405
