"""Requests made of the corpus by chance, the same for the same seed."""

import random

PIECES = [
    b"\r", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b" ", b"\t", b"\0", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\xff", b":", b";", b",", b"0", b"1", b"f", b"g", b"+", b"-", b"_", b"%", b"/",
    b"\\", b"#", b"?", b"@", b'"', b"chunked", b"identity", b"close", b"keep-alive", b"0\r\n\r\n", b"4\r\nbody\r\n", b";x=y", b"HTTP/1.1", b"HTTP/1.0", b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n",
]
FIELDS = [
    b"Content-Length: 0", b"Content-Length: 4", b"Content-Length: 04", b"Content-Length:4", b"content-length: 4 ", b"Content_Length: 4", b"Content-Length : 4", b"X-Content-Length: 4",
    b"Transfer-Encoding: chunked", b"transfer-encoding:CHUNKED", b"Transfer_Encoding: chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding:\tchunked\t", b"X-Transfer-Encoding: chunked",
    b"Connection: close", b"Connection: keep-alive, x", b"Connection: transfer-encoding", b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c", b"Host: other", b"X-Forwarded-Host: other",
    b"Expect: 100-continue", b"TE: trailers, chunked", b"Trailer: X", b"X: \xe9\xff", b"X:", b"X-Y_Z: 1", b"Cookie: a=b; c", b"X-HTTP-Method-Override: DELETE", b"Content-Encoding: gzip",
]


def mutations(entries, count, seed):
    """`count` pairs of a routing mode and bytes with the corpus's places in them."""
    chance = random.Random(seed)
    for _ in range(count):
        entry = chance.choice(entries)
        raw = entry.raw
        for _ in range(chance.choice((1, 1, 1, 2, 2, 3))):
            raw = mutate(raw, chance, entries)
        yield entry.mode, raw


def mutate(raw, chance, entries):
    at = chance.randrange(len(raw) + 1)
    other = chance.randrange(len(raw) + 1)
    a, b = min(at, other), max(at, other)
    lines = raw.split(b"\r\n")
    line = chance.randrange(len(lines))
    match chance.randrange(12):
        case 0: return raw[:at] + chance.choice(PIECES) + raw[at:]
        case 1: return raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1:]
        case 2: return raw[:at] + raw[at + chance.randrange(1, 4):]
        case 3: return raw[:b] + raw[a:min(b, a + 40)] + raw[b:]
        case 4 | 5 | 6 | 7:
            # In front of a line of the head, where most of what confuses parsers stands.
            end = lines.index(b"") if b"" in lines[1:] else len(lines)
            place = chance.randrange(1, max(2, end + 1))
            return b"\r\n".join(lines[:place] + [chance.choice(FIELDS)] + lines[place:])
        case 8: return b"\r\n".join(lines[:line] + lines[line + 1:])
        case 9: return b"\r\n".join(lines[:line + 1] + lines[line:])
        case 10: return raw.replace(b"\r\n", chance.choice((b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\r\n")), chance.randrange(1, 3))
        case _: return raw[:a] + chance.choice(entries).raw[a:] if chance.random() < 0.5 else raw + chance.choice(entries).raw
