import Testing

@testable import HTTPWire

@Suite struct ResponseDecoderTests {
    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 {Content-Length=2} [ok]\n"),
        ("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 {content-length=0} []\n"),
        ("HTTP/1.0 404 Not at all\u{e9}\r\n\r\ngone", "HTTP/1.0 404 [gone]\n"),
        ("HTTP/1.1 200 \r\n\r\n", "HTTP/1.1 200 []\n"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: u\r\n\r\n",
            "HTTP/1.1 200 {Transfer-Encoding=chunked} [ok] {T=u}\n"
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            "HTTP/1.1 100HTTP/1.1 103 {Link=x}HTTP/1.1 204 []\n"
        ),
        ("HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 304 {Content-Length=9} []\n"),
        ("HTTP/1.1 999 x\r\nContent-Length: 1\r\n\r\n1", "HTTP/1.1 999 {Content-Length=1} [1]\n"),
    ])
    func `a response is read as it is written, however it comes`(text: String, expected: String) {
        for size in 1...text.utf8.count {
            let read = Decoded.responses(text, size: size)
            #expect(read.text == expected && read.refusal == nil && read.rest.isEmpty)
        }
    }

    @Test(arguments: [
        "nonsense", "HTTP/2.0 200 OK\r\n", "HTTP/1.2 200 OK\r\n", "HTTP/1.1  200 OK\r\n", "HTTP/1.1 20 OK\r\n",
        "HTTP/1.1 2000 OK\r\n", "HTTP/1.1 099 OK\r\n", "HTTP/1.1 200 OK\n", "HTTP/1.1 200 O\rK\r\n",
        "HTTP/1.1 200 O\u{0}K\r\n", "http/1.1 200 OK\r\n", "ICY 200 OK\r\n", "\r\nHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: \(String(repeating: "y", count: 1000))\r\n\r\n",
        "HTTP/1.1 200 \(String(repeating: "y", count: 1000))\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\(String(repeating: "X: y\r\n", count: 11))\r\n",
    ])
    func `what is none, or could end in two places, is refused however it comes`(text: String) {
        let whole = Decoded.responses(text, size: text.utf8.count)
        #expect(whole.refusal != nil && whole.text.isEmpty)
        for size in 1...text.utf8.count { #expect(Decoded.responses(text, size: size) == whole) }
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    ])
    func `what is cut off has no end`(text: String) {
        for size in 1...text.utf8.count { #expect(Decoded.responses(text, size: size).messages == 0) }
    }

    @Test func `an answer to HEAD has no body, and what stands behind an answer is not read`() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
        for size in 1...text.utf8.count {
            let read = Decoded.responses(text, size: size, toHEAD: true)
            #expect(read.text == "HTTP/1.1 200 {Content-Length=2} []\n" && read.rest == "HTTP/1.1 200 OK\r\n\r\n")
        }
    }

    @Test func `what stands behind a change of protocol is left alone`() {
        let text = "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\u{1}HTTP/1.1 200 OK\r\n"
        for size in 1...text.utf8.count {
            let read = Decoded.responses(text, size: size)
            #expect(read.messages == 1 && read.rest == "\u{1}HTTP/1.1 200 OK\r\n")
        }
    }
}
