#!/usr/bin/env python3
"""Writes route-token-v2-vectors.json, by Python's own hmac: an implementation that shares nothing with ours."""
import base64, hashlib, hmac, json, pathlib

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number):
    text = ""
    while number or not text:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text


def vector(secret, key, sandbox, port, expires, birth, revocations):
    epoch = f"{base36(birth)}.{base36(revocations)}"

    def code(form):
        text = f"v2\n{form}\n{sandbox}\n{port}\n{base36(expires)}\n{epoch}\n"
        return hmac.new(secret, text.encode(), hashlib.sha256).digest()

    label = base64.b32encode(code("label")).decode().lower()[:12] + key
    long = base64.b32encode(code("long")[:16]).decode().lower().rstrip("=") + key
    stem = f"{sandbox}-{port}-{base36(expires)}-"
    path = f"/{sandbox}/{port}/{base36(expires)}/{long}"
    return dict(
        secret_hex=secret.hex(), key_id=key, sandbox_id=sandbox, port=port, expires=expires, epoch=epoch,
        label=stem + label, header=stem + long, path=path)


uuid = "a1b2c3d4-5678-90ab-cdef-1234567890ab"
vectors = [
    vector(bytes(range(32)), "a", "my-sandbox", 8080, 2000000000, 0, 0),
    vector(b"secret", "k", uuid, 44772, 1893456000, 1790000000000000, 0),
    vector(b"secret", "k", uuid, 44772, 1893456000, 1790000000000000, 1),
    vector(b"\0", "0", "s", 1, 0, 1, 2),
    vector(bytes(200), "z", "a-80-b", 65535, 2**64 - 1, 2**64 - 1, 2**64 - 1),
]
path = pathlib.Path(__file__).with_name("route-token-v2-vectors.json")
path.write_text(json.dumps(dict(vectors=vectors), indent=1) + "\n")
