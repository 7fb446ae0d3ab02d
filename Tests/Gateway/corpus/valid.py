"""Requests that look odd and are not: each passes, and means the same behind the gateway."""

from dataclasses import dataclass, field

from .entry import get, head, post

TE = b"Transfer-Encoding: chunked"


@dataclass(frozen=True)
class Valid:
    why: str
    raw: bytes
    method: bytes = b"GET"
    target: bytes = b"/m"
    body: bytes = b""
    # Fields that arrive, with all their values in this order; a name without values does not arrive.
    fields: dict = field(default_factory=dict)
    mode: str = "header"
    # The connection ends with the answer, and takes no request behind.
    last: bool = False

    # As an entry of the corpus of malformed requests.
    def bytes(self, sandbox, port):
        line = b"OpenSandbox-Ingress-To: %ID%-%PORT%\r\n"
        return self.raw.replace(b"%TO%", line).replace(b"%ID%", sandbox).replace(b"%PORT%", port)


def path(target, arrives=None):
    return Valid(f"target {target!r}", get(target=target), target=arrives or target)


def in_uri(target, arrives):
    return Valid(f"path {target!r}", get(target=b"/%ID%/%PORT%" + target, to=False), target=arrives, mode="uri")


def carries(why, line, name, *values):
    return Valid(why, get(*(line if isinstance(line, list) else [line])), fields={name: list(values)})


def body(why, raw, content=b"body", **fields):
    return Valid(why, raw, method=b"POST", body=content, fields={k.replace("_", "-"): v for k, v in fields.items()})


END = b"0\r\n\r\n"

VALID = [
    path(b"/"), path(b"//m"), path(b"///m//"), path(b"/./m"), path(b"/../m"), path(b"/a/../../m"), path(b"/%2e%2e/m"), path(b"/%2E%2e%2fm"), path(b"/a%2Fb"),
    path(b"/a%5cb"), path(b"/a\\b"), path(b"/m;x=y"), path(b"/m?"), path(b"/m??"), path(b"/m?a=b&a=c"), path(b"/m?/../x"), path(b"/m?x=%00"), path(b"/%00"), path(b"/m%0d%0aX:y"),
    path(b"/m%23x"), path(b"/m%"), path(b"/m%zz"), path(b"/m%C3%A9"), path(b"/~m!$&'()*+,;=:@"), path(b"/{m}|^`[x]\"<>"), path(b"/" + b"a" * 8000), path(b"/m?" + b"a" * 8000),
    path(b"http://h/m", b"/m"), path(b"HTTP://H/m", b"/m"), path(b"http://h", b"/"), path(b"http://h?x", b"/?x"), path(b"http://h/http://other/m", b"/http://other/m"), path(b"/http://other/m"),
    in_uri(b"/m", b"/m"), in_uri(b"", b"/"), in_uri(b"?x", b"/?x"), in_uri(b"//m", b"//m"), in_uri(b"/../m", b"/../m"), in_uri(b"/%2e%2e/%2f", b"/%2e%2e/%2f"), in_uri(b"/m?/other/80/", b"/m?/other/80/"),
    in_uri(b"/other/80/m", b"/other/80/m"), in_uri(b"/1/abcdefghi/m", b"/1/abcdefghi/m"),
    Valid("a host in capitals", get(b"Host: %ID%-%PORT%.SANDBOXES.Example", host=False, to=False), mode="wildcard"),
    Valid("a host with a port", get(b"Host: %ID%-%PORT%.sandboxes.example:1234", host=False, to=False), mode="wildcard"),
    Valid("a host first label in header mode", get(b"Host: %ID%-%PORT%.anything.example", host=False, to=False)),
    Valid("an address as host", get(b"Host: 127.0.0.1:80", host=False), fields={"host": [b"127.0.0.1:80"]}),
    Valid("an IPv6 address as host", get(b"Host: [::1]:80", host=False), fields={"host": [b"[::1]:80"]}),
    Valid("a host with an empty port", get(b"Host: h:", host=False), fields={"host": [b"h:"]}),
    Valid("a host with an underscore", get(b"Host: a_b", host=False), fields={"host": [b"a_b"]}),
    Valid("a host with a dot at its end", get(b"Host: h.", host=False), fields={"host": [b"h."]}),
    Valid("the host last", head(b"GET /m HTTP/1.1", b"Host: h", host=False), fields={"host": [b"h"]}),
    Valid("names in capitals", head(b"GET /m HTTP/1.1", b"HOST: h", b"OPENSANDBOX-INGRESS-TO: %ID%-%PORT%", host=False, to=False), fields={"host": [b"h"]}),
    Valid("names in small letters", head(b"GET /m HTTP/1.1", b"host: h", b"opensandbox-ingress-to: %ID%-%PORT%", host=False, to=False)),
    Valid("no spaces behind the colons", head(b"GET /m HTTP/1.1", b"Host:h", b"OpenSandbox-Ingress-To:%ID%-%PORT%", host=False, to=False), fields={"host": [b"h"]}),
    Valid("spaces and tabs around values", get(b"X: \t y \t", b"Y:\tz"), fields={"x": [b"y"], "y": [b"z"]}),
    Valid("empty lines in front", b"\r\n\r\n" + get()), Valid("HTTP/1.0", head(b"GET /m HTTP/1.0", b"Connection: close"), last=True),
    Valid("HTTP/1.0 without a host", head(b"GET /m HTTP/1.0", b"Connection: close", host=False), last=True),
    Valid("OPTIONS of everything", head(b"OPTIONS * HTTP/1.1"), method=b"OPTIONS", target=b"*"),
    Valid("TRACE", head(b"TRACE /m HTTP/1.1"), method=b"TRACE"), Valid("PROPFIND", head(b"PROPFIND /m HTTP/1.1"), method=b"PROPFIND"),
    Valid("a method that nobody has registered", head(b"FROB-it /m HTTP/1.1"), method=b"FROB-it"),
    Valid("M-SEARCH", head(b"M-SEARCH /m HTTP/1.1"), method=b"M-SEARCH"), Valid("HEAD", head(b"HEAD /m HTTP/1.1"), method=b"HEAD"),
    Valid("DELETE with a body", head(b"DELETE /m HTTP/1.1", b"Content-Length: 4") + b"body", method=b"DELETE", body=b"body"),
    Valid("GET with a body", get(b"Content-Length: 4") + b"body", body=b"body"), Valid("GET with a length of nothing", get(b"Content-Length: 0"), fields={"content-length": [b"0"]}),
    Valid("POST without a length", post(b""), method=b"POST"), Valid("a body that looks like a request", post(b"GET /x HTTP/1.1\r\n\r\n", b"Content-Length: 19"), method=b"POST", body=b"GET /x HTTP/1.1\r\n\r\n"),
    carries("a value with a colon", b"X: a: b", "x", b"a: b"), carries("an empty value", b"X:", "x", b""), carries("a value with a quote", b'X: "a', "x", b'"a'),
    carries("a value beyond ASCII", b"X: \xc3\xa9", "x", "\u00e9".encode()), carries("every character of a name", b"!#$%&'*+-.^`|~0aZ: v", "!#$%&'*+-.^`|~0az", b"v"),
    carries("a name twice", [b"X: a", b"Y: b", b"x: c"], "x", b"a", b"c"), carries("a value of 16 KiB", b"X: " + b"a" * 16384, "x", b"a" * 16384),
    carries("a tab in a value", b"X: a\tb", "x", b"a\tb"), carries("a cookie twice", [b"Cookie: a=1", b"Cookie: b=2"], "cookie", b"a=1", b"b=2"),
    carries("authorization", b"Authorization: Bearer x", "authorization", b"Bearer x"), carries("a range", b"Range: bytes=0-1,2-3", "range", b"bytes=0-1,2-3"),
    carries("a field that Connection names", [b"Connection: x", b"X: a"], "x"), carries("the route that Connection names", b"Connection: OpenSandbox-Ingress-To", "opensandbox-ingress-to"),
    carries("a credential that Connection names", [b"OpenSandbox-Secure-Access: a", b"Connection: OpenSandbox-Secure-Access"], "opensandbox-secure-access"),
    carries("the forwarding that Connection names", [b"Connection: X-Forwarded-For", b"X-Forwarded-For: 192.0.2.1"], "x-forwarded-for", b"127.0.0.1"),
    carries("a forged forwarding", b"X-Forwarded-For: 192.0.2.1", "x-forwarded-for", b"127.0.0.1"), carries("a forged forwarding with underscores", b"X_Forwarded_For: 192.0.2.1", "x_forwarded_for"),
    carries("a route with underscores", b"OpenSandbox_Ingress_To: other-80", "opensandbox_ingress_to"), carries("TE", b"TE: trailers", "te"),
    carries("Keep-Alive", [b"Connection: keep-alive", b"Keep-Alive: timeout=5"], "keep-alive"), carries("Proxy-Connection", b"Proxy-Connection: keep-alive", "proxy-connection"),
    Valid("Proxy-Connection that closes", get(b"Proxy-Connection: close"), fields={"proxy-connection": []}, last=True),
    carries("Proxy-Authorization", b"Proxy-Authorization: Basic eA==", "proxy-authorization"), 
    Valid("an upgrade to h2c", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAM"), fields={"upgrade": [], "http2-settings": []}, last=True),
    Valid("an upgrade without Connection", get(b"Upgrade: websocket"), fields={"upgrade": []}, last=True), carries("Expect with nothing to wait for", b"Expect: 100-continue", "expect", b"100-continue"),
    carries("128 fields", [b"X: %d" % i for i in range(125)], "x", *[b"%d" % i for i in range(125)]),
    body("a length with zeros", post(b"body", b"Content-Length: 0004")), body("one chunk", post(b"4\r\nbody\r\n" + END, TE), transfer_encoding=[b"chunked"]),
    body("chunks of one", post(b"1\r\nb\r\n1\r\no\r\n1\r\nd\r\n1\r\ny\r\n" + END, TE)), body("a chunk size with zeros", post(b"0004\r\nbody\r\n" + END, TE)),
    body("a chunk size in capitals", post(b"A\r\n0123456789\r\n" + END, TE), b"0123456789"), body("a last chunk of many zeros", post(b"4\r\nbody\r\n00000\r\n\r\n", TE)),
    body("no chunk but the last", post(END, TE), b""), body("a chunk of line ends", post(b"4\r\n\r\n\r\n\r\n" + END, TE), b"\r\n\r\n"), body("a chunk that looks like the last", post(b"5\r\n0\r\n\r\n\r\n" + END, TE), b"0\r\n\r\n"),
    body("Chunked in capitals", post(b"4\r\nbody\r\n" + END, b"Transfer-Encoding: CHUNKED"), transfer_encoding=[b"chunked"]),
    body("a trailer", post(b"4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n", TE)), body("trailers that may not be", post(b"4\r\nbody\r\n0\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nOpenSandbox-Ingress-To: x\r\n\r\n", TE)),
    body("a large chunk", post(b"10000\r\n" + b"x" * 65536 + b"\r\n" + END, TE), b"x" * 65536),
]
