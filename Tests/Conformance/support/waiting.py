"""Waiting for what happens elsewhere, with a deadline."""

import os
import time

PAUSE = 0.02
# How many times longer than usual everything may take: an emulated machine is as much slower.
PATIENCE = float(os.environ.get("SALLYPORT_TEST_PATIENCE", "1"))


def patient(seconds):
    """A deadline, in seconds, on this machine."""
    return seconds * PATIENCE


def eventually(question, within=30.0, what="it"):
    """The first true answer of `question`; fails when none came in time, which only keeps a test from hanging."""
    within = patient(within)
    deadline = time.monotonic() + within
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {within} s; the last answer was {answer!r}")
        time.sleep(PAUSE)


def answers(question, *errors):
    """What `question` returns, or None where it raises one of `errors`."""
    try:
        return question()
    except errors or (Exception,):
        return None
