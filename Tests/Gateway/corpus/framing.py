"""Where a message ends: lengths, codings and chunks (RFC 9112, sections 6 and 7)."""

from .entry import Entry, chunked, head, post

CL, TE = b"Content-Length: ", b"Transfer-Encoding: "
SMUGGLED = b"GET /m-smuggled HTTP/1.1\r\nHost: h\r\n%TO%\r\n"
END = b"0\r\n\r\n"

LENGTHS = [
    ("two lengths that differ", [b"4", b"5"]), ("two lengths that agree", [b"4", b"4"]),
    ("a length and an empty one", [b"4", b""]), ("an empty length", [b""]), ("a length list", [b"4, 4"]),
    ("a length list that differs", [b"4, 5"]), ("a length with a comma", [b"4,"]), ("a signed length", [b"+4"]),
    ("a negative length", [b"-4"]), ("minus zero", [b"-0"]), ("a hexadecimal length", [b"0x4"]),
    ("an octal length", [b"0o4"]), ("a length with a letter", [b"4a"]), ("a length with an exponent", [b"4e0"]),
    ("a length with a point", [b"4.0"]), ("a length with an underscore", [b"1_0"]), ("a length of two words", [b"4 4"]),
    ("a quoted length", [b'"4"']), ("a length beyond 64 bits", [b"18446744073709551620"]),
    ("a length of 2^64", [b"18446744073709551616"]), ("a length of 2^63", [b"9223372036854775808"]),
    ("a length of a hundred digits", [b"4".rjust(100, b"0")]), ("a length in wide digits", ["\uff14".encode()]),
    ("a length with a semicolon", [b"4;x=y"]), ("a length with a vertical tab", [b"\x0b4"]),
    ("a length with a form feed", [b"4\x0c"]), ("a length with a NUL", [b"4\x00"]), ("a length with a no-break space", [b"\xa04"]),
]

CODINGS = [
    ("chunked twice in a list", [b"chunked, chunked"]), ("chunked in two fields", [b"chunked", b"chunked"]),
    ("chunked, then identity", [b"chunked, identity"]), ("identity, then chunked", [b"identity, chunked"]),
    ("identity alone", [b"identity"]), ("gzip alone", [b"gzip"]), ("gzip, then chunked", [b"gzip, chunked"]),
    ("chunked, then gzip", [b"chunked, gzip"]), ("an unknown coding", [b"xchunked"]), ("chunkedx", [b"chunkedx"]),
    ("an unknown coding beside chunked", [b"chunked", b"x"]), ("an unknown one in front of chunked", [b"x", b"chunked"]),
    ("an empty coding", [b""]), ("an empty coding beside chunked", [b"", b"chunked"]), ("a comma in front", [b", chunked"]),
    ("a comma behind", [b"chunked,"]), ("chunked with a parameter", [b"chunked;q=1"]), ("quoted chunked", [b'"chunked"']),
    ("chunked behind a vertical tab", [b"\x0bchunked"]), ("chunked before a form feed", [b"chunked\x0c"]),
    ("chunked with a NUL", [b"chunked\x00"]), ("chunked with a bare CR", [b"chunked\r"]),
    ("chunked behind a bare CR", [b"x\rchunked"]), ("a no-break space and chunked", [b"\xa0chunked"]),
    ("chunked in wide letters", ["\uff43hunked".encode()]), ("chunked in two words", [b"chun ked"]),
    ("chunked in quotes of one", [b"'chunked'"]), ("chunked in brackets", [b"<chunked>"]),
]

CHUNKS = [
    ("a chunk extension", b"4;x=y\r\nbody\r\n" + END), ("an empty chunk extension", b"4;\r\nbody\r\n" + END),
    ("a chunk extension without a value", b"4;x\r\nbody\r\n" + END), ("a quoted chunk extension", b'4;x="y"\r\nbody\r\n' + END),
    ("a chunk extension with a line end in quotes", b'4;x="\r\n"\r\nbody\r\n' + END),
    ("a chunk extension ended by LF", b"4;x\nbody\r\n" + END), ("a chunk extension with a CR", b"4;x\ry\r\nbody\r\n" + END),
    ("an extension of the last chunk", b"4\r\nbody\r\n0;x=y\r\n\r\n"), ("an extension of the second chunk", b"1\r\nb\r\n3;x\r\node\r\n" + END),
    ("a chunk extension of 64 KiB", b"4;" + b"x" * 65536 + b"\r\nbody\r\n" + END),
    ("a signed chunk size", b"+4\r\nbody\r\n" + END), ("a negative chunk size", b"-4\r\nbody\r\n" + END),
    ("a negative last chunk", b"4\r\nbody\r\n-0\r\n\r\n"), ("a chunk size with 0x", b"0x4\r\nbody\r\n" + END),
    ("a chunk size with X", b"0X4\r\nbody\r\n" + END), ("a chunk size of 17 digits", b"10000000000000004\r\nbody\r\n" + END),
    ("a chunk size of 16 digits", b"ffffffffffffffff\r\nbody\r\n" + END), ("a chunk size of 64 zeros", b"4".rjust(64, b"0") + b"\r\nbody\r\n" + END),
    ("a last chunk of 64 zeros", b"4\r\nbody\r\n" + b"0" * 64 + b"\r\n\r\n"), ("an empty chunk size", b"\r\nbody\r\n" + END),
    ("a space in front of a chunk size", b" 4\r\nbody\r\n" + END), ("a space behind a chunk size", b"4 \r\nbody\r\n" + END),
    ("a tab behind a chunk size", b"4\t\r\nbody\r\n" + END), ("a space in a chunk size", b"0 4\r\nbody\r\n" + END),
    ("a chunk size with a g", b"g\r\nbody\r\n" + END), ("a chunk size with an underscore", b"0_4\r\nbody\r\n" + END),
    ("a chunk size in quotes", b'"4"\r\nbody\r\n' + END), ("a chunk size with an h", b"4h\r\nbody\r\n" + END),
    ("a chunk size with a point", b"4.0\r\nbody\r\n" + END), ("a chunk size in wide digits", "\uff14".encode() + b"\r\nbody\r\n" + END),
    ("a chunk size ended by LF", b"4\nbody\r\n" + END), ("a chunk size ended by CR", b"4\rbody\r\n" + END),
    ("a chunk size with two CR", b"4\r\r\nbody\r\n" + END), ("a chunk size with a NUL", b"4\x00\r\nbody\r\n" + END),
    ("a chunk ended by LF", b"4\r\nbody\n" + END), ("a chunk without an end", b"4\r\nbody" + END),
    ("a chunk longer than its size", b"3\r\nbody\r\n" + END), ("a chunk shorter than its size", b"5\r\nbody\r\n" + END),
    ("a last chunk ended by LF", b"4\r\nbody\r\n0\n\n"), ("an end of LF behind the last chunk", b"4\r\nbody\r\n0\r\n\n"),
    ("CRLF in front of a chunk size", b"\r\n4\r\nbody\r\n" + END), ("something behind the last chunk's CR", b"4\r\nbody\r\n0\rX\n\r\n"),
    ("no chunks at all", b"body" + SMUGGLED),
]

TRAILERS = [
    ("a trailer without a colon", b"X\r\n"), ("a folded trailer", b"X: y\r\n z\r\n"), ("a trailer ended by LF", b"X: y\n"),
    ("a trailer with a space in its name", b"X y: z\r\n"), ("a trailer with a space before its colon", b"X : y\r\n"),
    ("a trailer with a NUL", b"X: a\x00b\r\n"), ("a trailer with a bare CR", b"X: a\rb\r\n"), ("a trailer without a name", b": x\r\n"),
    ("a trailer that begins with a space", b" X: y\r\n"), ("a trailer with a NUL in its name", b"X\x00: y\r\n"),
    ("a length as a trailer", b"Content-Length: 4\r\n"), ("a coding as a trailer", b"Transfer-Encoding: chunked\r\n"),
    ("a trailer with a DEL", b"X: a\x7fb\r\n"), ("a trailer with brackets in its name", b"X(y): z\r\n"),
]

FRAMING = (
    [Entry(why, post(b"body", *[CL + value for value in values])) for why, values in LENGTHS]
    + [Entry(why, post(b"4\r\nbody\r\n" + END, *[TE + value for value in values])) for why, values in CODINGS]
    + [Entry(why, chunked(body)) for why, body in CHUNKS]
    + [Entry(why, chunked(b"4\r\nbody\r\n0\r\n" + field + b"\r\n")) for why, field in TRAILERS]
    + [
        Entry("CL.TE", post(END + SMUGGLED, CL + b"6", TE + b"chunked")),
        Entry("TE.CL", post(b"8\r\nSMUGGLED\r\n" + END, TE + b"chunked", CL + b"3")),
        Entry("CL.TE with a length of nothing", post(END + SMUGGLED, CL + b"0", TE + b"chunked")),
        Entry("CL.TE with a coding that is none", post(b"body", CL + b"4", TE + b"identity")),
        Entry("CL.TE with an empty coding", post(b"body", CL + b"4", TE)),
        Entry("a coding with a space before the colon", post(b"body", CL + b"4", b"Transfer-Encoding : chunked")),
        Entry("a coding with a tab before the colon", post(END, b"Transfer-Encoding\t: chunked")),
        Entry("a folded coding", post(END, TE + b"\r\n chunked")),
        Entry("a coding folded with a tab", post(END, TE + b"\r\n\tchunked")),
        Entry("a coding in a folded field", post(END, b"X: y\r\n Transfer-Encoding: chunked")),
        Entry("a coding behind a bare CR", post(END, b"X: y\rTransfer-Encoding: chunked")),
        Entry("a coding behind a bare LF", post(END, b"X: y\nTransfer-Encoding: chunked")),
        Entry("a length with a space before the colon", post(b"body", b"Content-Length : 4")),
        Entry("a folded length", post(b"body", CL + b"\r\n 4")),
        Entry("a length behind a NUL", post(b"body", b"\x00Content-Length: 4")),
        Entry("chunked in HTTP/1.0", head(b"POST /m HTTP/1.0", TE + b"chunked") + END),
        Entry("chunked and a length in HTTP/1.0", head(b"POST /m HTTP/1.0", TE + b"chunked", CL + b"5") + END),
        Entry("Connection names the length", post(b"body", CL + b"4", b"Connection: content-length")),
        Entry("Connection names the coding", chunked(END, b"Connection: close, Transfer-Encoding")),
        Entry("Connection names the host", post(b"body", CL + b"4", b"Connection: host")),
        Entry("an upgrade with a length", post(b"body", CL + b"4", b"Connection: upgrade", b"Upgrade: websocket")),
        Entry("an upgrade with chunks", chunked(END, b"Connection: upgrade", b"Upgrade: websocket")),
    ]
)
