"""Routes that lead nowhere, in each mode: what is not in the directory is never dialled (I6)."""

from .entry import Entry, get


def to(value, status=400, closes=False):
    return Entry(f"route {value!r}", get(b"OpenSandbox-Ingress-To: " + value, to=False), status, closes)


def uri(target, status=400, closes=False):
    return Entry(f"path {target!r}", get(target=target, to=False), status, closes, mode="uri")


def wildcard(host, status=400, closes=False):
    return Entry(f"host {host!r}", get(b"Host: " + host, host=False, to=False), status, closes, mode="wildcard")


ROUTES = [
    to(b""), to(b"%ID%"), to(b"%ID%-"), to(b"-%PORT%"), to(b"%ID%-0"), to(b"%ID%-65536"), to(b"%ID%-0%PORT%"), to(b"%ID%-+%PORT%"), to(b"%ID%-%PORT%x"),
    to(b"%ID%:%PORT%"), to(b"%ID%-%PORT%/"), to(b"127.0.0.1-%PORT%"), to(b"localhost-%PORT%", 404), to(b"[::1]-%PORT%"), to(b"../%ID%-%PORT%"),
    to(b"%ID%%2d%PORT%"), to(b"http://%ID%-%PORT%"), to(b"x%ID%-%PORT%", 404), to(b"%ID%-%PORT% %ID%-%PORT%"), to(b"a" * 200 + b"-%PORT%"), to(b"%ID%-%PORT%@other"),
    to(b"169.254.169.254-80"), to(b"metadata-80", 404), to(b"%ID%\xe9-%PORT%"),
    uri(b"/"), uri(b"/%ID%"), uri(b"/%ID%/"), uri(b"//%ID%/%PORT%/m"), uri(b"/./%ID%/%PORT%/m"), uri(b"/../%ID%/%PORT%/m"), uri(b"/x/../%ID%/%PORT%/m"),
    uri(b"/%2e%2e/%ID%/%PORT%/m"), uri(b"/%ID%%2f%PORT%/m"), uri(b"/%ID%%2F%PORT%/m"), uri(b"/%ID%\\%PORT%/m"), uri(b"/%ID%/%PORT%%2fm"), uri(b"/%ID%;x/%PORT%/m"),
    uri(b"/%ID%/%PORT%;x/m"), uri(b"/%ID%//%PORT%/m"), uri(b"/%ID%/../%ID%/%PORT%/m"), uri(b"/%ID%/0/m"), uri(b"/%ID%/65536/m"), uri(b"/%ID%/0%PORT%/m"), uri(b"/%ID%/-1/m"),
    uri(b"/%ID%/%PORT%:80/m"), uri(b"/127.0.0.1/%PORT%/m"), uri(b"/localhost/%PORT%/m", 404), uri(b"/%69%64/%PORT%/m"), uri(b"/?/%ID%/%PORT%/m"), uri(b"/%ID%?/%PORT%/m"),
    uri(b"http://other/%ID%/%PORT%/m", closes=True), uri(b"/%ID%/%PORT%/m#x", closes=True), uri(b"%ID%/%PORT%/m", closes=True), uri(b"/\xef\xbc\x8f%ID%/%PORT%/m", closes=True),
    wildcard(b"127.0.0.1"), wildcard(b"h"), wildcard(b"%ID%-%PORT%"), wildcard(b"%ID%-%PORT%.other.example"), wildcard(b"%ID%-%PORT%.x.sandboxes.example"),
    wildcard(b"x.%ID%-%PORT%.sandboxes.example"), wildcard(b"%ID%-%PORT%.sandboxes.example.other"), wildcard(b"%ID%-%PORT%.notsandboxes.example"), wildcard(b"%ID%-%PORT%..sandboxes.example"),
    wildcard(b"sandboxes.example"), wildcard(b".sandboxes.example"), wildcard(b"%ID%.sandboxes.example"), wildcard(b"%ID%-0.sandboxes.example"), wildcard(b"%ID%-65536.sandboxes.example"),
    wildcard(b"other-%PORT%.sandboxes.example", 404), wildcard(b"%ID%-%PORT%%2esandboxes.example", closes=True), wildcard(b"%ID%-%PORT%.sandboxes.example/", closes=True),
    wildcard(b"user@%ID%-%PORT%.sandboxes.example", closes=True),
    Entry("an absolute target of another sandbox's host", get(b"Host: %ID%-%PORT%.sandboxes.example", host=False, to=False, target=b"http://x-1.sandboxes.example/m"), mode="wildcard"),
]
