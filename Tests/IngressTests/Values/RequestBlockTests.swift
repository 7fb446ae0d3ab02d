import HTTPWire
import NIOHPACK
import NIOHTTP1
import Testing

@testable import Ingress

private func fields(_ more: [(String, String)] = [], without name: String? = nil) -> HPACKHeaders {
    let pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", "h.example"), (":path", "/a?b")]
    return HPACKHeaders(pseudo.filter { $0.0 != name } + more)
}

private func head(_ more: [(String, String)] = [], endsStream: Bool = true) throws -> HTTPRequestHead {
    try RequestBlock(fields(more), endsStream: endsStream).head
}

@Suite struct RequestBlockTests {
    @Test func `pseudo-header fields become a request line and a host`() throws {
        let head = try head([("x-a", "1"), ("x-a", "2")])
        #expect(head.method == .GET && head.uri == "/a?b" && head.version == .http1_1)
        #expect(head.headers.map(\.name) == ["host", "x-a", "x-a"])
        #expect(head.headers["host"] == ["h.example"] && head.headers["x-a"] == ["1", "2"])
    }

    @Test func `what the checks of HTTP/1.1 refuse is left to them`() throws {
        var connect = try RequestBlock([":method": "CONNECT", ":authority": "h:443"], endsStream: true).head
        #expect(throws: HTTPMessageError.self) { try RequestHeadCheck().check(&connect) }
        var hostless = try RequestBlock(fields(without: ":authority"), endsStream: true).head
        #expect(throws: HTTPMessageError.self) { try RequestHeadCheck().check(&hostless) }
        var user = try RequestBlock(fields([(":authority", "u@h")], without: ":authority"), endsStream: true).head
        #expect(throws: HTTPMessageError.self) { try RequestHeadCheck().check(&user) }
    }

    @Test(
        arguments: [
            ([("x-a", "1"), (":path", "/")], nil), ([(":method", "GET")], nil), ([(":path", "/b")], nil),
            ([(":status", "200")], nil), ([(":protocol", "websocket")], nil), ([], ":method"), ([], ":scheme"),
            ([], ":path"), ([(":path", "")], ":path"), ([(":path", "a")], ":path"), ([(":path", "*")], ":path"),
            ([(":path", "http://h.example/")], ":path"), ([(":scheme", "ftp")], ":scheme"),
            ([(":method", "G T")], ":method"), ([("host", "other.example")], nil),
            ([("host", "h.example"), ("host", "h.example")], nil), ([("X-A", "1")], nil),
            ([("", "1")], nil), ([("x a", "1")], nil), ([("x\u{e9}", "1")], nil), ([("x:a", "1")], nil),
            ([("x-a", "1\u{0}2")], nil), ([("x-a", "1\r2")], nil), ([("x-a", "1\n2")], nil),
            ([("connection", "close")], nil),
            ([("keep-alive", "5")], nil), ([("proxy-connection", "x")], nil), ([("upgrade", "websocket")], nil),
            ([("transfer-encoding", "chunked")], nil), ([("te", "gzip")], nil), ([("te", "trailers, gzip")], nil),
            ([("x-a", " 1")], nil), ([("x-a", "1\t")], nil), ([("content-length", "3")], nil),
            ([("content-length", "0"), ("content-length", "1")], nil),
        ] as [([(String, String)], String?)])
    func `a malformed request is refused`(more: [(String, String)], without: String?) {
        #expect(throws: RequestBlock.RequestBlockError.self) {
            try RequestBlock(fields(more, without: without), endsStream: true)
        }
    }

    @Test func `authority and host may agree, in any case`() throws {
        #expect(try head([("host", "H.Example")]).headers["host"] == ["h.example"])
        let alone = try RequestBlock(fields([("host", "h")], without: ":authority"), endsStream: true).head
        #expect(alone.headers["host"] == ["h"])
    }

    @Test func `crumbs of a cookie are joined`() throws {
        let joined = try head([("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")])
        #expect(joined.headers["cookie"] == ["a=1; b=2; c=3"])
        // A scalar that FieldText writes bytes in comes out as it went in.
        let odd = try head([("cookie", "a=\u{10FFE9}"), ("x", "\u{10FFE9}")])
        for name in ["cookie", "x"] {
            let value = try #require(odd.headers[name].first)
            #expect(FieldText.bytes(value).suffix(4) == Array("\u{10FFE9}".utf8)[...])
        }
    }

    @Test func `a body is framed by its length, else in chunks`() throws {
        let counted = try head([("content-length", "5")], endsStream: false)
        #expect(counted.headers["content-length"] == ["5"] && counted.headers["transfer-encoding"].isEmpty)
        let chunked = try head([("te", "trailers")], endsStream: false)
        #expect(chunked.headers["transfer-encoding"] == ["chunked"])
        let none = try head([("content-length", "0")])
        #expect(none.headers["content-length"] == ["0"])
    }

    @Test func `OPTIONS may ask about the server itself`() throws {
        let block: HPACKHeaders = [":method": "OPTIONS", ":scheme": "http", ":authority": "h", ":path": "*"]
        #expect(try RequestBlock(block, endsStream: true).head.uri == "*")
    }

    @Test func `CONNECT for a WebSocket becomes its handshake`() throws {
        let block: HPACKHeaders = [
            ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":authority": "h", ":path": "/ws",
            "sec-websocket-version": "13", "sec-websocket-key": "forged", "sec-websocket-protocol": "chat",
        ]
        let request = try RequestBlock(block, endsStream: false)
        #expect(request.opensWebSocket && request.head.method == .GET && request.head.uri == "/ws")
        #expect(try Upgrade(request.head) == .to("websocket"))
        #expect(request.head.headers["sec-websocket-key"].isEmpty)
        #expect(request.head.headers["sec-websocket-protocol"] == ["chat"])
        #expect(request.head.headers["transfer-encoding"].isEmpty)
    }

    @Test func `CONNECT for another protocol is no WebSocket`() throws {
        let block: HPACKHeaders = [
            ":method": "CONNECT", ":protocol": "connect-udp", ":scheme": "https", ":authority": "h", ":path": "/",
        ]
        let request = try RequestBlock(block, endsStream: false)
        #expect(request.refusal == .unknownProtocol && !request.opensWebSocket)
    }

    @Test func `what the decoder has replaced is refused, not passed on`() throws {
        #expect(try RequestBlock(fields([("x-a", "caf\u{FFFD}")]), endsStream: true).refusal == .replacedBytes)
        #expect(try RequestBlock(fields([("cookie", "\u{FFFD}")]), endsStream: true).refusal == .replacedBytes)
        #expect(try RequestBlock(fields([("x-a", "café \u{FFFC}")]), endsStream: true).refusal == nil)
        #expect(throws: RequestBlock.RequestBlockError.self) { try RequestBlock.trailers(["x": "\u{FFFD}"]) }
    }

    @Test func `trailers have no pseudo-header fields and no bytes that fields have not`() throws {
        #expect(try RequestBlock.trailers(["x-sum": "1"])["x-sum"] == ["1"])
        for bad: HPACKHeaders in [[":path": "/"], ["X-Sum": "1"], ["connection": "x"], ["x": "a\r\nb"], ["x y": "1"]] {
            #expect(throws: RequestBlock.RequestBlockError.self) { try RequestBlock.trailers(bad) }
        }
    }
}

@Suite struct ResponseBlockTests {
    @Test func `a response loses what belongs to a connection`() {
        let head = HTTPResponseHead(
            version: .http1_1, status: .ok,
            headers: [
                "Content-Type": "a/b", "Connection": "close", "Transfer-Encoding": "chunked", "Keep-Alive": "1",
                "Set-Cookie": "s=1",
            ])
        let block = ResponseBlock.fields(head, opensWebSocket: false)
        #expect(block.map(\.name) == [":status", "content-type", "set-cookie"] && block[":status"] == ["200"])
        #expect(block.map(\.indexable) == [.indexable, .indexable, .neverIndexed])
    }

    @Test func `a WebSocket is opened with 200`() {
        let head = HTTPResponseHead(
            version: .http1_1, status: .switchingProtocols,
            headers: ["Upgrade": "websocket", "Sec-WebSocket-Accept": "x", "Sec-WebSocket-Protocol": "chat"])
        let block = ResponseBlock.fields(head, opensWebSocket: true)
        #expect(block.map(\.name) == [":status", "sec-websocket-protocol"] && block[":status"] == ["200"])
    }
}

@Suite struct ConnectionPrefaceTests {
    private func verdict(_ pieces: String...) -> ConnectionPreface.Verdict {
        var preface = ConnectionPreface()
        var last = ConnectionPreface.Verdict.undecided
        for piece in pieces where last == .undecided {
            last = Array(piece.utf8).withUnsafeBytes { preface.read($0) }
        }
        return last
    }

    @Test func `HTTP/2 is known by its preface, however it is cut`() {
        let text = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        #expect(verdict(text) == .http2 && verdict(text + "more") == .http2)
        for cut in 1..<text.utf8.count {
            let first = String(decoding: text.utf8.prefix(cut), as: UTF8.self)
            #expect(verdict(first) == .undecided)
            #expect(verdict(first, String(decoding: text.utf8.dropFirst(cut), as: UTF8.self)) == .http2)
        }
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nsm\r\n\r\n", "PROPFIND", "\u{16}\u{3}\u{1}", "pri *",
    ])
    func `everything else is something else`(text: String) { #expect(verdict(text) == .other) }
}

@Suite struct WrittenFramesTests {
    private func kinds(_ buffers: [UInt8]...) -> [WrittenFrames.Kind] {
        var frames = WrittenFrames()
        return buffers.map { $0.withUnsafeBytes { frames.read($0) } }
    }

    private func goaway(_ code: UInt8) -> [UInt8] { [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, code] }

    @Test func `a connection's error is told from its ordinary end`() {
        #expect(kinds(goaway(0), goaway(11), [0, 0, 0, 4, 1, 0, 0, 0, 0]) == [.other, .goawayForError, .other])
        #expect(kinds([0, 0, 1, 1, 5, 0, 0, 0, 1, 0x82]) == [.headers])
    }

    @Test func `a body that looks like GOAWAY is none`() {
        let data: [UInt8] = [0, 0, 17, 0, 0, 0, 0, 0, 1]
        #expect(kinds(data, goaway(11), goaway(11)) == [.data, .other, .goawayForError])
        // The last frame of a stream may be without a payload.
        #expect(kinds([0, 0, 0, 0, 1, 0, 0, 0, 1], goaway(11)) == [.data, .goawayForError])
    }
}
