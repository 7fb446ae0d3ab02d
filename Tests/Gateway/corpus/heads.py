"""What a head may be: request lines, targets, hosts and fields (RFC 9112, sections 2, 3 and 5)."""

from .entry import Entry, get, head

LINES = [
    ("no version", b"GET /m", 400), ("HTTP/0.9 with a version", b"GET /m HTTP/0.9", 505), ("HTTP/1.2", b"GET /m HTTP/1.2", 505),
    ("HTTP/2.0", b"GET /m HTTP/2.0", 505), ("HTTP/3.0", b"GET /m HTTP/3.0", 505), ("HTTP/9.9", b"GET /m HTTP/9.9", 505),
    ("a version of two digits", b"GET /m HTTP/1.10", 400), ("a version with a zero", b"GET /m HTTP/01.1", 400),
    ("a version without a point", b"GET /m HTTP/1", 400), ("a version in small letters", b"GET /m http/1.1", 400),
    ("a version with a comma", b"GET /m HTTP/1,1", 400), ("a version and a word", b"GET /m HTTP/1.1 x", 400),
    ("another protocol", b"GET /m XTTP/1.1", 400), ("HTTPS as a version", b"GET /m HTTPS/1.1", 400), ("ICY", b"GET /m ICY/1.1", 400),
    ("RTSP", b"DESCRIBE /m RTSP/1.0", 400), ("RTSP by GET", b"GET /m RTSP/1.0", 400), ("ICE", b"SOURCE /m ICE/1.0", 400), ("a space behind the version", b"GET /m HTTP/1.1 ", 400),
    ("a tab in front of the version", b"GET /m\tHTTP/1.1", 400), ("two spaces behind the method", b"GET  /m HTTP/1.1", 400),
    ("two spaces behind the target", b"GET /m  HTTP/1.1", 400), ("a tab behind the method", b"GET\t/m HTTP/1.1", 400),
    ("a space in front of the method", b" GET /m HTTP/1.1", 400), ("no target", b"GET HTTP/1.1", 400), ("no method", b"/m HTTP/1.1", 400),
    ("a NUL in the method", b"G\x00ET /m HTTP/1.1", 400), ("a method in small letters", b"get /m HTTP/1.1", 400),
    ("a method in mixed letters", b"Get /m HTTP/1.1", 400), ("a method in letters that are not ASCII", b"FR\xc3\x96B /m HTTP/1.1", 400),
    ("a method with brackets", b"G(E)T /m HTTP/1.1", 400), ("a method of 10,000 letters", b"A" * 10000 + b" /m HTTP/1.1", 400),
    ("a method beyond ASCII", b"G\xc9T /m HTTP/1.1", 400), ("a vertical tab in the line", b"GET\x0b/m HTTP/1.1", 400),
    ("a form feed in the line", b"GET /m\x0cHTTP/1.1", 400), ("a bare CR in the line", b"GET /m\rHTTP/1.1", 400),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400), ("a proxy's line", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2", 400),
    ("an SSH greeting", b"SSH-2.0-OpenSSH_9.2", 400), ("an answer in the place of a request", b"HTTP/1.1 200 OK", 400),
]

TARGETS = [
    ("another authority", b"http://other/m"), ("another port", b"http://h:81/m"), ("another authority by user", b"http://h@other/m"),
    ("user information", b"http://user@h/m"), ("user information and a password", b"http://user:pass@h/m"), ("an empty authority", b"http:///m"),
    ("an authority with a backslash", b"http://h\\other/m"), ("another scheme", b"ftp://h/m"), ("a file", b"file:///etc/passwd"),
    ("a websocket scheme", b"ws://h/m"), ("a scheme without slashes", b"http:h/m"), ("a scheme with one slash", b"http:/h/m"),
    ("authority form", b"h:80"), ("authority form without a port", b"h"), ("asterisk form of a GET", b"*"), ("an asterisk and a path", b"*/m"),
    ("a relative path", b"m"), ("a query alone", b"?m"), ("a backslash", b"\\m"), ("a fragment", b"/m#x"), ("a fragment alone", b"#"),
    ("a space", b"/m m"), ("a tab", b"/m\tm"), ("a NUL", b"/m\x00"), ("a DEL", b"/m\x7f"), ("a bare CR", b"/m\rm"), ("a bell", b"/m\x07"),
    ("bytes beyond ASCII", b"/m\xc3\xa9"), ("a wide slash", "\uff0fm".encode()), ("an overlong slash", b"/m/\xc0\xaf"), ("an escape byte", b"/m\x1b[0m"),
]

HOSTS = [
    ("two hosts", [b"h", b"h"]), ("two hosts that differ", [b"h", b"other"]), ("an empty host", [b""]), ("a host list", [b"h, other"]),
    ("a host with a user", [b"user@h"]), ("a host with a path", [b"h/m"]), ("a host with a query", [b"h?m"]), ("a host with a scheme", [b"http://h"]),
    ("a host with two ports", [b"h:80:80"]), ("a host with a letter in its port", [b"h:8o"]), ("a host with a signed port", [b"h:+80"]),
    ("a host with a port of six digits", [b"h:100000"]), ("a port alone", [b":80"]), ("two words", [b"h other"]), ("a tab", [b"h\tother"]),
    ("a NUL", [b"h\x00other"]), ("a backslash", [b"h\\other"]), ("a fragment", [b"h#m"]), ("an open bracket", [b"[::1"]),
    ("a closed bracket", [b"::1]"]), ("an address without brackets", [b"::1"]), ("text in brackets", [b"[other]"]), ("a zone", [b"[fe80::1%25eth0]"]),
    ("bytes beyond ASCII", [b"\xc3\xa9"]), ("a percent sign", [b"h%2eother"]), ("an apostrophe", [b"h'other"]), ("angle brackets", [b"<h>"]),
]

FIELDS = [
    ("a folded field", b"X: a\r\n b"), ("a field folded with a tab", b"X: a\r\n\tb"), ("an empty folded line", b"X: a\r\n "), ("a fold of nothing", b"X:\r\n a"),
    ("a space in front of the name", b" X: a"), ("a tab in front of the name", b"\tX: a"), ("a space before the colon", b"X : a"),
    ("a tab before the colon", b"X\t: a"), ("a space in the name", b"X y: a"), ("an empty name", b": a"), ("no colon", b"Nonsense"), ("a colon alone", b":"),
    ("a NUL in the name", b"X\x00y: a"), ("a NUL in front of the name", b"\x00X: a"), ("a NUL in the value", b"X: a\x00b"), ("a bare CR in the value", b"X: a\rb"),
    ("a bare CR in the name", b"X\ry: a"), ("a bare LF in the value", b"X: a\nb"), ("a field behind a bare LF", b"X: a\nY: b"), ("a CR at the end", b"X: a\r"),
    ("a DEL in the value", b"X: a\x7fb"), ("an escape in the value", b"X: a\x1b[31m"), ("a vertical tab in the value", b"X: a\x0bb"),
    ("a form feed in the value", b"X: a\x0cb"), ("a backspace in the value", b"X: a\x08b"), ("a bell in the value", b"X: \x07"),
    ("brackets in the name", b"X(y): a"), ("a slash in the name", b"X/y: a"), ("a quote in the name", b'X"y: a'), ("an at sign in the name", b"X@y: a"),
    ("a comma in the name", b"X,y: a"), ("a semicolon in the name", b"X;y: a"), ("an equals sign in the name", b"X=y: a"),
    ("a backslash in the name", b"X\\y: a"), ("a bracket in the name", b"X[y]: a"), ("a brace in the name", b"X{y}: a"), ("a DEL in the name", b"X\x7f: a"),
    ("bytes beyond ASCII in the name", b"X\xe9: a"), ("a request line among the fields", b"GET /m HTTP/1.1"),
    ("Expect of something else", b"Expect: 200-ok"), ("Expect of 100-continue and more", b"Expect: 100-continue, x"),
]

LF = b"GET /m HTTP/1.1\nHost: h\nOpenSandbox-Ingress-To: %ID%-%PORT%\n\n"

HEADS = (
    [Entry(why, head(line), status) for why, line, status in LINES]
    + [Entry(f"target: {why}", get(target=target)) for why, target in TARGETS]
    + [Entry(f"host: {why}", get(*[b"Host: " + host for host in hosts], host=False)) for why, hosts in HOSTS]
    + [Entry(why, get(field), 417 if field.startswith(b"Expect") else 400) for why, field in FIELDS]
    + [
        Entry("no host", get(host=False)), Entry("a host with a space before its colon", get(b"Host : h", host=False)),
        Entry("an absolute target without a host", get(target=b"http://h/m", host=False)),
        Entry("a host in a folded field", get(b"X: y\r\n Host: h", host=False)),
        Entry("bare LF everywhere", LF), Entry("bare LF behind the request line", LF.replace(b"\n", b"\r\n").replace(b"1.1\r", b"1.1")),
        Entry("bare LF at the end of the head", LF.replace(b"\n", b"\r\n")[:-2] + b"\n"), Entry("bare CR everywhere", LF.replace(b"\n", b"\r") + b"\r\n\r\n"),
        Entry("LF and CR in the wrong order", LF.replace(b"\n", b"\n\r")), Entry("two CR before each LF", LF.replace(b"\n", b"\r\r\n")),
        Entry("a bare LF in front", b"\n" + get()), Entry("a bare CR in front", b"\r" + get()),
        Entry("HTTP/0.9", b"GET /m\r\n"), Entry("CONNECT", head(b"CONNECT h:80 HTTP/1.1")), Entry("CONNECT of a path", head(b"CONNECT /m HTTP/1.1")),
        Entry("a TLS hello alone", bytes.fromhex("16030100c8010000c40303") + bytes(200)),
        Entry("two routes", get(b"OpenSandbox-Ingress-To: %ID%-%PORT%"), closes=False), Entry("a list of routes", get(b"OpenSandbox-Ingress-To: %ID%-%PORT%, %ID%-%PORT%", to=False), closes=False),
        Entry("a target of 64 KiB", get(target=b"/m" + b"a" * 65536), 414), Entry("a field of 64 KiB", get(b"X: " + b"a" * 65536), 431),
        Entry("a name of 64 KiB", get(b"X" * 65536 + b": a"), 431), Entry("a head of 64 KiB in many fields", get(*[b"X-%d: " % i + b"a" * 1000 for i in range(64)]), 431),
        Entry("129 fields", get(*[b"X-%d: a" % i for i in range(127)]), 431), Entry("10,000 fields", get(*[b"X: a"] * 10000), 431),
        Entry("an upgrade to two protocols", get(b"Connection: upgrade", b"Upgrade: websocket, other")),
        Entry("two upgrades", get(b"Connection: upgrade", b"Upgrade: websocket", b"Upgrade: other")),
    ]
)
