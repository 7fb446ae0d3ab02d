"""What the Autobahn suite sends in its sections 1 to 7, 9 and 10, in a reduced form of our own.

That suite's release on PyPI is written for Python 2 and does not start on a Python of today. A case is a list of steps: frames
as bytes, each with the size of the pieces in which it is written.
"""

import struct
from dataclasses import dataclass

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"


def frame(opcode, data=b"", fin=True, rsv=0, masked=True):
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not masked:
        return head + data
    whole = MASK * (size // 4 + 1)
    hidden = int.from_bytes(data, "big") ^ int.from_bytes(whole[:size], "big")
    return head + MASK + hidden.to_bytes(size, "big")


def closing(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


@dataclass(frozen=True)
class Case:
    number: str
    # (bytes, size of its pieces; None for one piece)
    steps: tuple
    # The client's own end of the conversation, where the case has none.
    closes: bool = True


def case(number, *frames, pieces=None, closes=True):
    return Case(number, tuple((data, pieces) for data in frames), closes)


def in_parts(opcode, data, size):
    parts = [data[at:at + size] for at in range(0, len(data), size)] or [b""]
    return [frame(opcode if i == 0 else CONTINUATION, part, fin=i == len(parts) - 1) for i, part in enumerate(parts)]


def cases():
    for kind, opcode, byte in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for i, size in enumerate((0, 125, 126, 127, 128, 65535, 65536), 1):
            yield case(f"1.{kind}.{i}", frame(opcode, byte * size))
        yield case(f"1.{kind}.8", frame(opcode, byte * 65536), pieces=997)

    yield case("2.1", frame(PING))
    yield case("2.2", frame(PING, b"Hello, world!"))
    yield case("2.3", frame(PING, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"))
    yield case("2.4", frame(PING, b"\xfe" * 125))
    yield case("2.5", frame(PING, b"\xfe" * 126), closes=False)
    yield case("2.6", frame(PING, b"\xfe" * 125), pieces=1)
    yield case("2.7", frame(PONG))
    yield case("2.8", frame(PONG, b"unsolicited"))
    yield case("2.9", frame(PONG, b"unsolicited"), frame(PING, b"ping"))
    yield case("2.10", *[frame(PING, b"payload-%d" % i) for i in range(10)])
    yield case("2.11", *[frame(PING, b"payload-%d" % i) for i in range(10)], pieces=1)

    for rsv in range(1, 8):
        hello = frame(TEXT, b"Hello")
        yield case(f"3.{rsv}", hello, frame(TEXT, b"Hello", rsv=rsv), frame(PING), closes=False)
        yield case(f"3.{rsv} in pieces", hello, frame(TEXT, b"Hello", rsv=rsv), frame(PING), pieces=1, closes=False)
    yield case("3 ping", frame(PING, b"x", rsv=4), closes=False)
    yield case("3 close", frame(CLOSE, rsv=7), closes=False)

    for i, opcode in enumerate((3, 4, 5, 6, 7, 11, 12, 13, 14, 15), 1):
        yield case(f"4.{i}", frame(TEXT, b"Hello"), frame(opcode), frame(PING), closes=False)
        yield case(f"4.{i} with data", frame(TEXT, b"Hello"), frame(opcode, b"reserved"), frame(PING), pieces=1, closes=False)

    begin, middle, end = frame(TEXT, b"fragment1", fin=False), frame(CONTINUATION, b"fragment2", fin=False), frame(CONTINUATION, b"fragment3")
    yield case("5.1", frame(PING, b"part", fin=False), frame(CONTINUATION, b"rest"), closes=False)
    yield case("5.2", frame(PONG, b"part", fin=False), frame(CONTINUATION, b"rest"), closes=False)
    for pieces in (None, 1):
        yield case(f"5.3 {pieces}", begin, end, pieces=pieces)
        yield case(f"5.6 {pieces}", begin, frame(PING, b"between"), end, pieces=pieces)
        yield case(f"5.9 {pieces}", end, frame(TEXT, b"Hello"), pieces=pieces, closes=False)
        yield case(f"5.12 {pieces}", middle, frame(TEXT, b"Hello"), pieces=pieces, closes=False)
        yield case(f"5.15 {pieces}", begin, middle, end, frame(CONTINUATION, b"more"), pieces=pieces, closes=False)
        yield case(f"5.18 {pieces}", begin, frame(TEXT, b"fragment2"), pieces=pieces, closes=False)
        yield case(f"5.19 {pieces}", begin, middle, frame(PING, b"one"), middle, frame(PING, b"two"), end, pieces=pieces)

    good = ["Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\x00", "\u0080", "\u0800", "\U00010000", "\x7f", "\u07ff", "\uffff", "\U0010ffff", "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\U0001fffe"]
    bad = ["80", "bf", "808182838485868788", "c0af", "e080af", "f08080af", "f8808080af", "c080", "c1bf", "e09fbf", "f08fbfbf", "eda080", "edbfbf", "eda080edb080", "f4908080", "f7bfbfbf",
           "fe", "ff", "c0", "e0", "f0", "e080", "f08080", "cebae1bdb9cf83cebcceb5eda080656469746564", "cebae1bdb9cf83cebcceb5f4908080656469746564"]
    for i, text in enumerate(good, 1):
        data = text.encode()
        yield case(f"6.2.{i}", frame(TEXT, data))
        yield case(f"6.2.{i} octets", *in_parts(TEXT, data, 1))
        yield case(f"6.2.{i} in pieces", frame(TEXT, data), pieces=1)
    for i, text in enumerate(bad, 1):
        data = bytes.fromhex(text)
        yield case(f"6.3.{i}", frame(TEXT, data), closes=False)
        yield case(f"6.3.{i} octets", *in_parts(TEXT, data, 1), closes=False)
    yield case("6.1", frame(TEXT, fin=False), frame(CONTINUATION, fin=False), frame(CONTINUATION))
    yield case("6.4", frame(TEXT, b"\xce\xba\xe1\xbd\xb9", fin=False), frame(CONTINUATION, b"\xf4\x90\x80\x80", fin=False), frame(CONTINUATION, b"edited"), closes=False)

    yield case("7.1.1", frame(TEXT, b"Hello World!"), closing(1000), closes=False)
    yield case("7.1.2", closing(1000), closing(1000), closes=False)
    yield case("7.1.3", closing(1000), frame(PING), closes=False)
    yield case("7.1.4", closing(1000), frame(TEXT, b"Hello World!"), closes=False)
    yield case("7.1.5", begin, closing(1000), end, closes=False)
    yield case("7.1.6", frame(BINARY, b"x" * 262144), frame(TEXT, b"Hello World!"), closing(1000), frame(PING), closes=False)
    yield case("7.3.1", closing(), closes=False)
    yield case("7.3.2", frame(CLOSE, b"a"), closes=False)
    yield case("7.3.4", closing(1000, b"Hello World!"), closes=False)
    yield case("7.3.5", closing(1000, b"*" * 123), closes=False)
    yield case("7.3.6", closing(1000, b"*" * 124), closes=False)
    yield case("7.5.1", closing(1000, bytes.fromhex("cebae1bdb9cf83cebcceb5eda080656469746564")), closes=False)
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        yield case(f"7.7 {code}", closing(code), closes=False)
    for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535):
        yield case(f"7.9 {code}", closing(code), closes=False)
        yield case(f"7.9 {code} with a reason", closing(code, b"reason"), closes=False)
    yield case("7 unmasked", frame(TEXT, b"Hello", masked=False), closes=False)

    for i, size in enumerate((65536, 262144, 1 << 20, 4 << 20), 1):
        yield case(f"9.1.{i}", frame(TEXT, b"*" * size))
        yield case(f"9.2.{i}", frame(BINARY, b"\xfe" * size))
    for i, size in enumerate((256, 1024, 4096, 16384, 65536), 1):
        yield case(f"9.3.{i}", *in_parts(TEXT, b"*" * (1 << 19), size))
        yield case(f"9.4.{i}", *in_parts(BINARY, b"\xfe" * (1 << 19), size))
    for i, size in enumerate((64, 256, 1024), 1):
        yield case(f"9.5.{i}", frame(TEXT, b"*" * (1 << 17)), pieces=size)
        yield case(f"9.6.{i}", frame(BINARY, b"\xfe" * (1 << 17)), pieces=size)
    for i, size in enumerate((0, 16, 64, 256, 1024), 1):
        yield case(f"9.7.{i}", *[frame(TEXT, b"*" * size)] * 200)
        yield case(f"9.8.{i}", *[frame(BINARY, b"\xfe" * size)] * 200)

    yield case("10.1.1", *in_parts(TEXT, b"*" * 65536, 1300))


CASES = list(cases())
