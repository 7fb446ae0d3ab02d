import System
import Testing

@testable import HTTPClient

@Suite struct HTTPClientTests {
    @Test func `URLs are taken apart, and what is none is refused`() throws {
        let plain = try #require(HTTPEndpoint("http://hook.example:8000/a/b?c=d#e"))
        #expect(plain == HTTPEndpoint("http://hook.example:8000/a/b?c=d"))
        #expect(!plain.isSecure && plain.host == "hook.example" && plain.port == 8000 && plain.target == "/a/b?c=d")
        let secure = try #require(HTTPEndpoint("HTTPS://[2001:db8::1]"))
        #expect(secure.isSecure && secure.host == "2001:db8::1" && secure.port == 443 && secure.target == "/")
        #expect(HTTPEndpoint("http://x?y")?.target == "/?y")
        #expect(HTTPEndpoint("http://c:4318/base/")?.appending("/v1/metrics").target == "/base/v1/metrics")
        for text in [
            "", "x", "ftp://x", "http://", "http://:80", "http://x:", "http://x:0", "http://x:65536", "http://x:+1",
            "http://u:p@x/", "http://[::1", "http://[x]/", "http://x:1:2/", "http://x/\r\nA: b", "http://x/ä",
            "http://a b/", "http://*:80/", "http://-x/", "http://+x/", "http://a%41/", "http://a,b/",
        ] { #expect(HTTPEndpoint(text) == nil, "\(text)") }
    }

    @Test func `what is logged of a URL, a server and a request has no secret`() {
        #expect(HTTPEndpoint("http://x/secret?key=1")?.description == "http://x")
        var peer = HTTPPeer(HTTPEndpoint("http://x/secret")!)
        peer.authorize(bearer: "secret")
        peer.proxy = HTTPProxy(HTTPEndpoint("http://p")!, credentials: ("u", "secret"))
        let request = ClientRequest("POST", "/secret", headers: [("A", "secret")], body: .bytes(Array("secret".utf8)))
        var dumped = ""
        dump(peer, to: &dumped)
        dump(request, to: &dumped)
        #expect(
            !"\(peer)\(request)\(String(reflecting: peer))\(String(reflecting: request))\(dumped)".contains("secret"))
    }

    @Test func `no field, path or method carries another request`() throws {
        let peer = HTTPPeer(HTTPEndpoint("http://x")!)
        try ClientRequest("POST", "/a?b=%20", headers: [("A", "b"), ("C", "")]).check(peer)
        let bad = [
            ClientRequest("GET", "/", headers: [("C", "d\r\nE: f")]), ClientRequest("GET", "/", headers: [("C ", "d")]),
            ClientRequest("GET", "/", headers: [("", "d")]), ClientRequest("GET", "/", headers: [("C", "\u{0}")]),
            ClientRequest("GET", "/", headers: [("Content-Length", "3")]),
            ClientRequest("GET", "/", headers: [("transfer-encoding", "chunked")]),
            ClientRequest("GET", "/ HTTP/1.1\r\nA: b\r\n"), ClientRequest("GET", ""), ClientRequest("GET", "a"),
            ClientRequest("GET", "/ä"), ClientRequest("GET", "/#a"), ClientRequest("GET /", "/"),
            ClientRequest("", "/"), ClientRequest("CONNECT", "/"),
            ClientRequest("PUT", "/", body: .stream(length: -1) { nil }),
        ]
        for request in bad {
            #expect("\(request.headers) \(request.target)") {
                try request.check(peer)
            } throws: { error in
                if case .invalidRequest = error as? HTTPClientError { return true }
                return false
            }
        }
        var other = peer
        other.headers = [("Authorization", "Bearer a\nb")]
        #expect(throws: HTTPClientError.self) { try ClientRequest("GET", "/").check(other) }
        for path in ["", String(repeating: "a", count: 108), "a\u{0}b"] {
            #expect(throws: HTTPClientError.self) { try ClientRequest("GET", "/").check(HTTPPeer(unixSocket: path)) }
        }
    }

    private func read(_ text: String, limit: Int = 1000) throws -> [ResponseHead] {
        var reader = ResponseHeadReader(limit: limit)
        var heads: [ResponseHead] = []
        for line in text.utf8.split(separator: 10, omittingEmptySubsequences: false).dropLast() {
            if let head = try (Array(line) + [10]).withUnsafeBytes({ try reader.take($0) }) { heads.append(head) }
        }
        return heads
    }

    @Test func `a head is read after interim answers, and trailers are not one`() throws {
        let text =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nRetry-After:  7 \r\nodd\r\nX:\r\n\r\nTrailer: x\r\n\r\n"
        let heads = try read(text)
        #expect(heads.count == 1 && heads[0].status == 503 && heads[0].retryAfter == 7 && heads[0]["x"] == "")
        #expect(try read("HTTP/2 204\r\n\r\n").map(\.status) == [204])
        for text in ["SSH-2.0\n", "HTTP/1.1\n", "HTTP/1.1 9999\n", "HTTP/1.1 abc\n", "HTTP/1.1 099\n", "\n"] {
            #expect(throws: HTTPClientError.malformed, "\(text)") { try read(text) }
        }
    }

    @Test func `heads have a limit, however many lines and interim answers they are made of`() throws {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n"
        let end = "HTTP/1.1 204 ok\r\n\r\n"
        #expect(try read(interim + end, limit: interim.utf8.count + end.utf8.count).map(\.status) == [204])
        for text in [interim + end, "HTTP/1.1 200 " + String(repeating: "a", count: 60) + "\n"] {
            #expect(throws: HTTPClientError.tooLarge(.head)) {
                try read(text, limit: interim.utf8.count + end.utf8.count - 1)
            }
        }
        #expect(throws: HTTPClientError.tooLarge(.head)) { try read(end, limit: -1) }
    }

    @Test func `no number of seconds ends who reads it`() throws {
        for seconds in ["9223372036854775807", "18446744073709551616", "-1", "1e9"] {
            var backoff = RetryPolicy(BackOff(first: 10, longest: 4000), attempts: 4)
            let head = try read("HTTP/1.1 503 no\r\nRetry-After: \(seconds)\r\n\r\n").first
            guard case .retry(let wait) = backoff.step(head) else {
                Issue.record("no other try")
                continue
            }
            #expect(wait <= 4000)
        }
    }

    @Test func `trouble of the server is waited out, longer each time, and a refusal is final`() {
        var backoff = RetryPolicy(BackOff(first: 1000, longest: 5000), attempts: 5)
        #expect(backoff.step(nil) == .retry(afterMilliseconds: 1000))
        #expect(backoff.step(ResponseHead(status: 503)) == .retry(afterMilliseconds: 2000))
        let asked = ResponseHead(status: 429, fields: [.init(name: "retry-AFTER", value: "60")])
        #expect(backoff.step(asked) == .retry(afterMilliseconds: 5000))
        #expect(backoff.step(nil) == .retry(afterMilliseconds: 5000) && backoff.step(nil) == .giveUp)
        var other = RetryPolicy(BackOff(first: 1000, longest: 5000), attempts: 4)
        #expect(other.step(ResponseHead(status: 204)) == .done && other.step(ResponseHead(status: 404)) == .giveUp)
    }
}
