"""The instruments themselves: what is asserted elsewhere to reach nobody would be seen if it did."""

from wire import answers, exchange


def test_a_recorder_sees_every_byte_that_the_gateway_forwards(doors):
    recorder = doors.recorder()
    recorder.forget()
    request = (f"POST /seen?x=%20 HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: {doors.route()}\r\nX-Odd: a  b\r\n"
               "Connection: close\r\nContent-Length: 4\r\n\r\nbody").encode()
    came, ended = exchange(doors.address, request)
    assert ended and [answer.status for answer in answers(came)] == [200]
    [seen] = recorder.requests
    assert (seen.method, seen.target, seen.body, seen.complete) == (b"POST", b"/seen?x=%20", b"body", True)
    assert recorder.bytes.startswith(b"POST /seen?x=%20 HTTP/1.1\r\n") and recorder.bytes.endswith(b"\r\n\r\nbody")
    assert b"X-Odd: a  b\r\n" in recorder.bytes and not recorder.errors
