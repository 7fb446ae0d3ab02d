"""What RFC 9112 allows passes, however odd it looks, and means the same to the backend."""

import pytest
from corpus.valid import VALID
from wire import answers, exchange

FORBIDDEN_TRAILERS = (b"OpenSandbox-Ingress-To", b"Host: x", b"192.0.2.1")


@pytest.mark.parametrize("entry", VALID, ids=lambda entry: f"{entry.mode}: {entry.why[:60]}")
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
def test_it_passes_and_means_the_same(doors, entry, cut):
    recorder = doors.recorder()
    recorder.forget()
    whole = doors.bytes_of(entry)
    pieces = [whole[at:at + 1] for at in range(min(len(whole), 300))] + [whole[300:]] if cut else [whole]
    came, ended = exchange(doors.address_of(entry.mode), *pieces, doors.plain(entry.mode, b"/behind"))
    found = answers(came, of_head=entry.method == b"HEAD")
    assert ended and [answer.status for answer in found] == ([200] if entry.last else [200, 200]), came[:300]
    assert not recorder.errors and all(request.complete for request in recorder.requests)
    seen = recorder.requests[0]
    assert (seen.method, seen.target, seen.body, seen.version) == (entry.method, entry.target, entry.body, b"1.1")
    for name, values in entry.fields.items():
        assert seen.values(name.encode()) == values
    assert len(seen.values(b"host")) == 1 and len(seen.values(b"content-length") + seen.values(b"transfer-encoding")) <= 1
    behind = [request.target for request in recorder.requests[1:]]
    assert behind == ([] if entry.last else [b"/behind"])
    assert not any(trailer in recorder.bytes for trailer in FORBIDDEN_TRAILERS)
