"""For how long a test goes on that tries many moments or many inputs. `make test` has a bounded share; `make test-long` more."""

import os

LENGTH = int(os.environ.get("SALLYPORT_TEST_LENGTH", "1"))


def times(count):
    """How many rounds, seeds, seconds or inputs, where `make test` has `count`."""
    return count * LENGTH
