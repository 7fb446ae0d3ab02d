import NIOHTTP1
import Testing

@testable import HTTPWire

@Suite struct RequestDecoderTests {
    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1 {Host=h} []\n"),
        ("\r\n\r\nGET /a?b HTTP/1.0\r\n\r\n", "GET /a?b HTTP/1.0 []\n"),
        ("OPTIONS * HTTP/1.1\r\nA:b\r\nA: \t c d \t\r\nE:\r\n\r\n", "OPTIONS * HTTP/1.1 {A=b} {A=c d} {E=} []\n"),
        ("M-SEARCH http://h/ HTTP/1.1\r\n\r\n", "M-SEARCH http://h/ HTTP/1.1 []\n"),
        (
            "POST / HTTP/1.1\r\nContent-Length: 04\r\n\r\nbodyPUT / HTTP/1.1\r\ncontent-length:0\r\n\r\n",
            "POST / HTTP/1.1 {Content-Length=04} [body]\nPUT / HTTP/1.1 {content-length=0} []\n"
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n00A\r\n0123456789\r\n0\r\nT: u\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1 {Transfer-Encoding=Chunked} [a0123456789] {T=u}\nGET / HTTP/1.1 []\n"
        ),
        ("GET / HTTP/1.1\r\nX: a\tb\u{e9}\r\n\r\n", "GET / HTTP/1.1 {X=a\tb\u{e9}} []\n"),
        ("", ""), ("GET", ""), ("GET / HTTP/1.1\r\nHost: h\r\n", ""),
    ])
    func `requests are read as they are written, however they come`(text: String, expected: String) {
        for size in 1...max(1, text.utf8.count) {
            let read = Decoded.requests(text, size: size)
            #expect(read.text == expected && read.refusal == nil)
        }
    }

    @Test(arguments: [
        "GET  / HTTP/1.1\r\n", "GET /  HTTP/1.1\r\n", "GET / HTTP/1.1 \r\n", " GET / HTTP/1.1\r\n", "GET /\r\n",
        "GET\t/ HTTP/1.1\r\n", "GET /\tHTTP/1.1\r\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\rX", "\nGET / HTTP/1.1\r\n",
        "\rGET / HTTP/1.1\r\n", "G(T / HTTP/1.1\r\n", "GET /a\u{0}b HTTP/1.1\r\n", "GET / RTSP/1.0\r\n",
        "SOURCE / ICE/1.0\r\n", "GET / http/1.1\r\n", "GET / HTTP/1.10\r\n", "GET / HTTP/11\r\n", "GET / HTTP/a.1\r\n",
        "get / HTTP/1.1\r\n", "Post / HTTP/1.1\r\n", "\u{16}\u{3}\u{1}", "SSH-2.0\r\n",
        "\(String(repeating: "A", count: 33))", "GET / HTTP/1.1\r\n X: y\r\n", "GET / HTTP/1.1\r\nX : y\r\n",
        "GET / HTTP/1.1\r\n: y\r\n", "GET / HTTP/1.1\r\nX\r\n", "GET / HTTP/1.1\r\nX: a\r\n b\r\n",
        "GET / HTTP/1.1\r\nX: a\rb\r\n", "GET / HTTP/1.1\r\nX: a\nY: b\r\n", "GET / HTTP/1.1\r\nX: a\u{0}\r\n",
        "GET / HTTP/1.1\r\nX: a\u{7f}\r\n", "GET / HTTP/1.1\r\nX\u{0}: a\r\n", "GET / HTTP/1.1\r\n\n",
        "GET / HTTP/1.1\r\n\rX", "GET / HTTP/1.1\r\n\u{e9}: a\r\n",
    ])
    func `any other head is malformed, however it comes`(text: String) {
        let whole = Decoded.requests(text, size: text.utf8.count)
        #expect(whole.refusal?.status == .badRequest && whole.text.isEmpty)
        for size in 1...text.utf8.count { #expect(Decoded.requests(text, size: size) == whole) }
    }

    @Test(arguments: [
        "Content-Length: 1\r\nContent-Length: 1", "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity", "Transfer-Encoding:", "Content-Length:",
        "Content-Length: +1", "Content-Length: -1", "Content-Length: 0x1", "Content-Length: 1, 1",
        "Content-Length: 1 1", "Content-Length: 1234567890123456789", "Transfer-Encoding: chunked;q=1",
    ])
    func `a body that could end in two places is refused`(fields: String) {
        let text = "POST / HTTP/1.1\r\nHost: h\r\n\(fields)\r\n\r\n"
        for size in 1...text.utf8.count {
            let read = Decoded.requests(text, size: size)
            #expect(read.refusal?.status == .badRequest && read.text.isEmpty)
        }
        #expect(Decoded.requests("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", size: 99).refusal != nil)
    }

    @Test(arguments: [
        "1;a\r\n", "1;\r\n", "1 \r\n", " 1\r\n", "1\n", "\r\n", "x\r\n", "+1\r\n", "0x1\r\n", "1\rx", "1\r\nxy",
        "1\r\nx\rz", "1\r\nx\n", "0;a\r\n", "1234567890123456\r\n", "1\r\nx\r\n1;a\r\n", "g", "-1\r\n",
        "0\r\nContent-Length: 1\r\n\r\n", "0\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n X: y\r\n\r\n", "0\r\n\n",
        "0\r\nX: y\n\r\n", "0\r\nX : y\r\n\r\n",
    ])
    func `what is no chunk is refused, however it comes`(body: String) {
        let text = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body
        for size in 1...text.utf8.count {
            let read = Decoded.requests(text, size: size)
            #expect(read.refusal?.status == .badRequest && read.messages == 0)
        }
    }

    @Test(arguments: ["0.9", "1.2", "2.0", "9.9"])
    func `other versions are told which one is spoken`(version: String) {
        for size in 1...30 { #expect(Decoded.requests("GET / HTTP/\(version)\r\n", size: size).refusal == .version) }
    }

    @Test func `limits hold to the byte, however the bytes come`() {
        var limits = RequestHeadCheck()
        limits.maxBytes = 100
        limits.maxFields = 3
        let line = "GET /\(String(repeating: "a", count: 84)) HTTP/1.1\r\n"
        let field = "X: \(String(repeating: "b", count: 93))\r\n\r\n"
        #expect(line.utf8.count == 100 && field.utf8.count == 100)
        for size in 1...205 {
            #expect(Decoded.requests(line + field, size: size, limits: limits).messages == 1)
            #expect(Decoded.requests(line + "b" + field, size: size, limits: limits).refusal == .tooLarge)
            #expect(
                Decoded.requests(line.replacing(" HTTP", with: "a HTTP"), size: size, limits: limits).refusal
                    == .targetTooLong)
            #expect(Decoded.requests("\r\n" + line, size: size, limits: limits).refusal == .targetTooLong)
            let short = "GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\n"
            #expect(Decoded.requests(short + "\r\n", size: size, limits: limits).messages == 1)
            #expect(Decoded.requests(short + "D:\r\n\r\n", size: size, limits: limits).refusal == .tooLarge)
            let chunked = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
            #expect(Decoded.requests(chunked + field, size: size, limits: limits).messages == 1)
            #expect(Decoded.requests(chunked + "b" + field, size: size, limits: limits).refusal == .tooLarge)
        }
    }

    @Test(arguments: [
        ("Connection: upgrade\r\nUpgrade: websocket", true), ("Connection: a , UPGRADE\r\nUpgrade: x", true),
        ("Connection: upgrade", false), ("Upgrade: websocket", false), ("Connection: xupgrade\r\nUpgrade: x", false),
        ("Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 0", true),
    ])
    func `what stands behind a request for another protocol is left alone`(fields: String, isUpgrade: Bool) {
        let text = "GET / HTTP/1.1\r\n\(fields)\r\n\r\n\u{1}\u{2}"
        for size in 1...text.utf8.count {
            let read = Decoded.requests(text, size: size)
            #expect(read.messages == 1 && read.rest == (isUpgrade ? "\u{1}\u{2}" : ""))
            #expect((read.refusal == nil) == isUpgrade)
        }
    }

    @Test func `every method passes that is a token, and is what it was`() {
        for method in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "SEARCH", "LINK",
            "M-SEARCH", "MSEARCH", "FROB", "frob", "a.b_c~!", "UPDATEREDIRECTREF",
        ] {
            #expect(Decoded.requests("\(method) / HTTP/1.1\r\n\r\n", size: 9).text == "\(method) / HTTP/1.1 []\n")
        }
    }

    @Test func `token bytes are those of the standard`() {
        let tokens = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8
        for byte in UInt8.min...UInt8.max { #expect(ASCII.isToken(byte) == tokens.contains(byte)) }
    }

    @Test func `runs of bytes end where they do, wherever that is`() {
        for byte in UInt8.min...UInt8.max {
            for place in 0..<20 {
                var bytes = [UInt8](repeating: UInt8(ascii: "a"), count: 20)
                bytes[place] = byte
                bytes.withUnsafeBytes { bytes in
                    let control = byte < 0x20 || byte == 0x7F
                    #expect(ByteScan.endOfField(in: bytes, from: 0) == (control && byte != 0x09 ? place : 20))
                    #expect(ByteScan.endOfTarget(in: bytes, from: 0) == (control || byte == 0x20 ? place : 20))
                }
            }
        }
    }
}
