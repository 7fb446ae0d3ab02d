"""Somebody with power over the namespace takes the guard's tables away, or the kernel's answer is lost: the rules come
back by themselves, soon, and what began meanwhile ends."""

import socket
import subprocess

import pytest
from arena import ONE, TWO, deny_but, echo
from guards import NEVER, PROBED, allow, reaches
from support.waiting import eventually

# What root of the host may do by mistake, to a table of inet in the namespace.
DAMAGE = {
    "everything": [["flush", "ruleset"]],
    "the table": [["delete", "table", "inet", "sallyport"]],
    "the rules": [["flush", "chain", "inet", "sallyport", "output"],
                  ["chain", "inet", "sallyport", "output", "{ policy accept ; }"]],
    "the redirection of names": [["flush", "chain", "inet", "sallyport", "names"]],
}


def damage(attacker, which):
    for words in DAMAGE[which]:
        subprocess.run(["nsenter", f"--net=/run/netns/{attacker.namespace}", "nft", *words], check=True)


def listed(attacker, *words):
    """What `nft -a list …` says, with the kernel's handles; empty where there is no such thing."""
    return subprocess.run(
        ["nsenter", f"--net=/run/netns/{attacker.namespace}", "nft", "-a", "list", *words],
        capture_output=True, text=True).stdout


def redirects(attacker):
    """The chain of redirected names: another one, by its handles, after each installation."""
    text = listed(attacker, "chain", "inet", "sallyport", "names")
    return text if "redirect" in text else ""


@pytest.fixture(scope="module")
def arena():
    from guards import FaultyArena
    arena = FaultyArena()
    yield arena
    arena.close()
    assert not arena.leftovers()


@pytest.mark.parametrize("which", DAMAGE)
def test_rules_that_somebody_takes_away_come_back(arena, attacker, which):
    one = attacker(deny_but("one.example", PROBED[0]))
    assert one.asks("one.example") == [ONE]
    before = redirects(one)
    damage(one, which)
    eventually(lambda: redirects(one) not in ("", before), what="the rules")
    eventually(lambda: reaches(one, [NEVER]) == set(), what="the refusal")
    # With what was learned, and the filter behind them.
    assert reaches(one, [ONE, PROBED[0], PROBED[1]]) == {ONE, PROBED[0]}
    assert one.asks("two.example", "A") == [] and one.asks("one.example") == [ONE]
    assert one.policy("PATCH", json=allow(PROBED[1])).status_code == 200
    assert reaches(one, [PROBED[1]]) == {PROBED[1]}


def test_a_flow_that_began_without_rules_ends_when_they_are_back(arena, attacker):
    one = attacker(deny_but(PROBED[0]))
    with arena.listen(socket.SOCK_STREAM, TWO, 7007, echo):
        assert not one.connects(TWO, 7007)
        begun = None

        def begins():
            # The guard may be quicker: then once more.
            nonlocal begun
            damage(one, "everything")
            begun = one.socket()
            try:
                begun.connect((TWO, 7007))
                return True
            except OSError:
                begun.close()
                return False

        eventually(begins, what="a flow through no rules")

        def ended():
            try:
                begun.sendall(b"x")
                return begun.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        eventually(ended, what="the end of the flow")
        begun.close()
        assert not one.connects(TWO, 7007)


def test_a_change_right_after_the_loss_finds_the_rules_or_puts_them_back(arena, attacker):
    one = attacker(deny_but(PROBED[0]))
    for target in PROBED[1:6]:
        damage(one, "everything")
        assert one.policy("PATCH", json=allow(target)).status_code == 200
        assert reaches(one, [NEVER, PROBED[0], target]) == {PROBED[0], target}


def test_rules_that_nobody_touches_are_not_put_in_again(arena, attacker):
    one = attacker(deny_but("one.example"))
    other = attacker(deny_but(PROBED[0]))
    before = redirects(one)
    assert before
    # Changes of its own are no one else's, and the learning of names neither.
    assert one.asks("one.example") == [ONE]
    for target in PROBED:
        assert one.policy("PATCH", json=allow(target)).status_code == 200
    # Two whole rounds have passed when what was broken after the changes is mended twice.
    for _ in range(2):
        damage(other, "everything")
        eventually(lambda: redirects(other), what="the rules of the other")
    assert redirects(one) == before


def test_a_sidecars_tables_come_back_too(sidecar):
    one = sidecar(environment={"OPENSANDBOX_EGRESS_BUDGET_BYTES_OUT": "100000000"})
    assert one.request("PUT", body=deny_but("one.example", PROBED[0]))[0] == 200
    assert one.attacker.asks("one.example") == [ONE]

    def tables():
        return listed(one.attacker, "chains").count("table ")

    before = tables()
    # The policy's, those beside it, and the budgets'.
    assert before >= 4
    damage(one.attacker, "everything")
    eventually(lambda: tables() == before, what="all tables")
    eventually(lambda: reaches(one.attacker, [NEVER]) == set(), what="the refusal")
    assert reaches(one.attacker, [ONE, PROBED[0]]) == {ONE, PROBED[0]}
    # Nor may the sandbox ask the policy API.
    assert not one.attacker.connects("127.0.0.1", 18080)
    assert one.request("PATCH", body=allow(PROBED[1]))[0] == 200
    assert one.attacker.asks("one.example") == [ONE]
