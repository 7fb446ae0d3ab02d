import NetworkPolicy
import Testing

@testable import Egress
@testable import FlowCheck

/// What a reader makes of a whole head.
private func head(_ bytes: [UInt8]) throws -> OpeningRequest {
    var reader = OpeningRequestReader()
    guard let request = try reader.read(bytes), reader.place == bytes.count else { throw FlowRefusal.tooSlow }
    return request
}

@Suite struct OpeningRequestTests {
    private func head(_ text: String) throws -> OpeningRequest {
        try EgressTests.head(Array(text.replacing("\n", with: "\r\n").utf8))
    }
    private func isRefused(_ text: String) -> Bool { (try? head(text)) == nil }
    private func forwarded(_ text: String) throws -> String {
        String(decoding: try head(text).forwarded, as: UTF8.self).replacing("\r\n", with: "\n")
    }

    @Test func `the host is read and the connection is for one request`() throws {
        let read = try head("GET /a?b HTTP/1.1\nHost: One.Example\nAccept: */*\n\n")
        #expect(read.name.description == "one.example" && read.port == nil && read.body == .counted(0))
        #expect(
            try forwarded(
                "GET /a HTTP/1.1\nHost: one.example:8080\nConnection: keep-alive, Upgrade\nKeep-Alive: 5\nUpgrade: h2c\n"
                    + "HTTP2-Settings: AAM\nproxy-connection: x\nX-Other: \u{e4}\n\n")
                == "GET /a HTTP/1.1\nHost: one.example:8080\nX-Other: \u{e4}\nConnection: close\n\n")
    }

    @Test func `an absolute target must agree with the host`() throws {
        #expect(try head("GET http://one.example/a HTTP/1.1\nHost: one.example\n\n").name.description == "one.example")
        #expect(try head("GET HTTP://one.example:80?a HTTP/1.1\nHost: ONE.example\n\n").port == nil)
        for target in [
            "http://two.example/", "http://one.example:81/", "http://one.example@two.example/", "https://one.example/",
            "http://two.example:80@one.example/", "one.example:80", "ftp://one.example/", "http:///",
        ] {
            #expect(isRefused("GET \(target) HTTP/1.1\nHost: one.example\n\n"), "\(target)")
        }
    }

    @Test func `there is exactly one host`() {
        for fields in [
            "", "Host: one.example\nHost: one.example\n", "Host: one.example\nhOST: two.example\n", "Host:\n",
            "Host: one.example, two.example\n", "Host: one.example two.example\n", "Host : one.example\n",
            "Host: one.example\n two.example\n", "Host: one.example.\n", "Host: 198.51.100.1\n",
            "Host: [2001:db8::1]\n",
            "Host: one.example:\n", "Host: one.example:0\n", "Host: one.example:65536\n", "Host: one.example:80:80\n",
            "Host: a@one.example\n", "Host: one.example/\n", "Host: one.example#\n", "Host: one\0.example\n",
        ] {
            #expect(isRefused("GET / HTTP/1.1\n\(fields)\n"), "\(fields)")
        }
    }

    @Test func `tunnels, other versions and odd lines are refused`() {
        for line in [
            "CONNECT one.example:443 HTTP/1.1", "PRI * HTTP/2.0", "GET / HTTP/0.9", "GET /", "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ", "G\tET / HTTP/1.1", " GET / HTTP/1.1", "GET * HTTP/1.1", "GET /a#b HTTP/1.1",
            "GET /\u{e4} HTTP/1.1", "GET / http/1.1", "",
        ] {
            #expect(isRefused("\(line)\nHost: one.example\n\n"), "\(line)")
        }
        #expect(!isRefused("OPTIONS * HTTP/1.1\nHost: one.example\n\n"))
    }

    @Test func `lines end in CR LF and nowhere else`() {
        for text in [
            "GET / HTTP/1.1\nHost: one.example\r\n\r\n", "GET / HTTP/1.1\r\nHost: one.example\n\r\n",
            "GET / HTTP/1.1\r\nA: b\rHost: two.example\r\nHost: one.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: one.example\r\n\n\r\n", "GET / HTTP/1.1\r\nHost: one.example\r\nA: \u{1}\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: one.example\r\n\r\n",
        ] {
            #expect(throws: FlowRefusal.self, "\(text)") { try EgressTests.head(Array(text.utf8)) }
        }
    }

    @Test func `the body's length can be read in one way only`() throws {
        #expect(try head("POST / HTTP/1.1\nHost: one.example\nContent-Length: 12\n\n").body == .counted(12))
        #expect(try head("POST / HTTP/1.1\nHost: one.example\nTransfer-Encoding: Chunked\n\n").body == .chunked)
        for fields in [
            "Content-Length: 1\nContent-Length: 1", "Content-Length: 1, 1", "Content-Length: +1", "Content-Length: 0x1",
            "Content-Length:", "Content-Length: 1\nTransfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked", "Transfer-Encoding: xchunked",
            "Content-Length: 9999999999999999999999",
        ] {
            #expect(isRefused("POST / HTTP/1.1\nHost: one.example\n\(fields)\n\n"), "\(fields)")
        }
        #expect(isRefused("POST / HTTP/1.0\nHost: one.example\nTransfer-Encoding: chunked\n\n"))
    }

    @Test func `a WebSocket may be asked for`() throws {
        let asking = "GET / HTTP/1.1\nHost: one.example\nConnection: keep-alive, Upgrade\nUpgrade: WebSocket\n"
        #expect(try head(asking + "\n").asksForWebSocket)
        #expect(
            try forwarded(asking + "\n")
                == "GET / HTTP/1.1\nHost: one.example\nConnection: Upgrade\nUpgrade: websocket\n\n")
        #expect(try !head(asking + "Content-Length: 4\n\n").asksForWebSocket)
        #expect(try !head("GET / HTTP/1.1\nHost: one.example\nUpgrade: websocket\n\n").asksForWebSocket)
    }

    @Test func `too many fields are refused`() {
        let many = (0...OpeningRequestReader.maxFields).map { "A\($0): b\n" }.joined()
        #expect(isRefused("GET / HTTP/1.1\nHost: one.example\n\(many)\n"))
    }

    @Test func `chunks are followed to their end, however they are cut`() throws {
        let body = Array("4\r\nWiki\r\n00A\r\n0123456789\r\n0\r\nTrailer: a\r\n\r\n".utf8)
        for size in 1...body.count {
            var scan = ChunkedBody()
            var taken = 0
            for start in stride(from: 0, to: body.count, by: size) {
                #expect(!scan.isAtEnd)
                taken += try scan.consume(body[start..<min(start + size, body.count)])
            }
            #expect(scan.isAtEnd && taken == body.count, "\(size)")
        }
        var scan = ChunkedBody()
        #expect(try scan.consume(Array("0\r\n\r\nGET / HTTP/1.1\r\n".utf8)[...]) == 5)
        for wrong in [
            "\r\n", "4;a=b\r\n", "4\nWiki", "g\r\n", "4\r\nWikix", "0\r\n\n", "fffffffffffffffff", " 4\r\n", "-1\r\n",
        ] {
            #expect(throws: FlowRefusal.self, "\(wrong)") {
                var scan = ChunkedBody()
                _ = try scan.consume(Array(wrong.utf8)[...])
            }
        }
    }

    /// However a request is damaged: nothing crashes, and the host that is accepted is the value of its one Host field.
    @Test func `no damage makes a host that is not there`() {
        var random = SystemRandomNumberGenerator()
        let whole = Array("GET /path HTTP/1.1\r\nHost: one.example\r\nContent-Length: 3\r\nAccept: */*\r\n\r\n".utf8)
        let interesting = Array("\r\n :Hh0,\t".utf8)
        for _ in 0..<30_000 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                let byte = Bool.random() ? interesting.randomElement()! : UInt8.random(in: 0...255, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[at] = byte
                case 1: bytes.remove(at: at)
                default: bytes.insert(byte, at: at)
                }
            }
            guard let head = try? EgressTests.head(bytes) else { continue }
            let text = String(decoding: bytes, as: UTF8.self).lowercased()
            #expect(text.contains("host:"))
            #expect(text.contains(head.name.description), "\(text)")
        }
    }
}

@Suite struct FlowOpeningTests {
    private func said(_ bytes: [UInt8], step: Int = 1) throws -> (FlowOpening.Said, rest: [UInt8])? {
        var opening = FlowOpening()
        for start in stride(from: 0, to: bytes.count, by: step) {
            if let said = try opening.append(bytes[start..<min(start + step, bytes.count)]) {
                return (said, Array(opening.rest))
            }
        }
        return nil
    }

    @Test func `both protocols are known by their first byte, byte by byte`() throws {
        #expect(try said(TestHello("one.example").bytes)?.0.name.description == "one.example")
        let request = Array("GET / HTTP/1.1\r\nHost: two.example\r\n\r\n".utf8)
        #expect(try said(request)?.0.name.description == "two.example")
        #expect(try said(request + [1, 2], step: 1000)?.rest == [1, 2])
        #expect(try said(TestHello("one.example").bytes + [23, 1], step: 1000)?.rest == [23, 1])
    }

    @Test func `other protocols are refused as soon as they show`() {
        for bytes in [[0x80, 1], [0], Array("\r\n".utf8), Array("SSH-2.0-OpenSSH_9\r\n".utf8), Array("EHLO a\n".utf8)] {
            #expect(throws: FlowRefusal.self, "\(bytes)") { try said(bytes) }
        }
    }

    @Test func `no more than the limit is read`() {
        let endless = Array("GET / HTTP/1.1\r\nHost: one.example\r\nA: ".utf8) + [UInt8](repeating: 97, count: 1 << 15)
        #expect(throws: FlowRefusal.tooLong(limit: FlowOpening.limit)) { try said(endless, step: 4096) }
    }

    @Test func `a refusal is told in the client's language`() {
        #expect(FlowRefusal.noServerName.answer(to: .tls, name: nil) == [21, 3, 3, 0, 2, 2, 112])
        #expect(FlowRefusal.encryptedServerName.answer(to: .tls, name: nil).last == 49)
        #expect(FlowRefusal.malformed("x").answer(to: .tls, name: nil).last == 50)
        let rule = Verdict(action: .deny, reason: .defaultAction)
        let page = String(
            decoding: FlowRefusal.denied(rule).answer(to: .http, name: try? DomainName("two.example")), as: UTF8.self)
        #expect(page.hasPrefix("HTTP/1.1 403 ") && page.contains("two.example: denied by default"))
        #expect(FlowRefusal.neitherTLSNorHTTP.answer(to: nil, name: nil).isEmpty)
    }
}
