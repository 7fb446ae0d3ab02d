"""The public authorities' certificates, read once. Each of the thousands of clients that tests make would read them for itself, which
takes 30 ms, and was two fifths of all that these tests took.
"""

import functools
import os
import ssl

import certifi

_make = ssl.create_default_context
# Where clients look who are told nothing of whom to trust.
_FILES = {certifi.where(), os.environ.get("SSL_CERT_FILE")} - {None}


@functools.cache
def _whole(file):
    return _make(cafile=file)


def _create(purpose=ssl.Purpose.SERVER_AUTH, *, cafile=None, capath=None, cadata=None):
    # Nobody adds to these, so that they can be shared.
    if purpose is ssl.Purpose.SERVER_AUTH and cafile in _FILES and (capath, cadata) == (None, None):
        return _whole(cafile)
    return _make(purpose, cafile=cafile, capath=capath, cadata=cadata)


def share():
    ssl.create_default_context = _create
