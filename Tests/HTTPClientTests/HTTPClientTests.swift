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
            "http://a b/",
        ] { #expect(HTTPEndpoint(text) == nil, "\(text)") }
    }

    @Test func `what is logged of a URL has no path`() {
        #expect(HTTPEndpoint("http://x/secret?key=1")?.description == "http://x")
    }

    @Test func `a post is one request, and a field cannot carry another`() {
        let endpoint = HTTPEndpoint("http://x:81/p")!
        let post = HTTPPost(endpoint, headers: [("A", "b"), ("C", "d\r\nE: f")], body: [1, 2])
        #expect(
            String(decoding: post.bytes, as: UTF8.self)
                == "POST /p HTTP/1.1\r\nHost: x:81\r\nConnection: close\r\nA: b\r\nContent-Length: 2\r\n\r\n\u{1}\u{2}")
    }

    @Test func `an answer is read from any split of its head`() throws {
        let bytes = Array("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nRetry-After: 7\r\n\r\nbody".utf8)
        for count in 0..<(bytes.count - 4) { #expect(try HTTPReply.parse(Array(bytes[..<count])) == nil, "\(count)") }
        #expect(try HTTPReply.parse(bytes) == HTTPReply(status: 503, retryAfter: 7))
        for text in ["SSH-2.0\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 9999\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"] {
            #expect(throws: HTTPClientError.malformed) { try HTTPReply.parse(Array(text.utf8)) }
        }
        let endless = Array("HTTP/1.1 200 ".utf8) + [UInt8](repeating: 97, count: HTTPReply.maximumHead)
        #expect(throws: HTTPClientError.malformed) { try HTTPReply.parse(endless) }
    }

    @Test func `no number of seconds and no heap of interim answers ends who reads it`() throws {
        for seconds in ["9223372036854775807", "18446744073709551616", "-1", "1e9"] {
            let reply = try HTTPReply.parse(Array("HTTP/1.1 503 no\r\nRetry-After: \(seconds)\r\n\r\n".utf8))
            var backoff = RetryPolicy(BackOff(first: 10, longest: 4000), attempts: 4)
            guard case .retry(let wait) = backoff.step(reply) else {
                Issue.record("no other try")
                continue
            }
            #expect(wait <= 4000)
        }
        let interim = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
        #expect(try HTTPReply.parse(interim + interim) == nil)
        #expect(
            try HTTPReply.parse(interim + interim + Array("HTTP/1.1 204 ok\r\n\r\n".utf8)) == HTTPReply(status: 204))
        let heap = Array(repeatElement(interim, count: 100_000).joined())
        #expect(throws: HTTPClientError.malformed) { try HTTPReply.parse(heap) }
    }

    @Test func `trouble of the server is waited out, longer each time, and a refusal is final`() {
        var backoff = RetryPolicy(BackOff(first: 1000, longest: 5000), attempts: 5)
        #expect(backoff.step(nil) == .retry(afterMilliseconds: 1000))
        #expect(backoff.step(HTTPReply(status: 503)) == .retry(afterMilliseconds: 2000))
        #expect(backoff.step(HTTPReply(status: 429, retryAfter: 60)) == .retry(afterMilliseconds: 5000))
        #expect(backoff.step(nil) == .retry(afterMilliseconds: 5000) && backoff.step(nil) == .giveUp)
        var other = RetryPolicy(BackOff(first: 1000, longest: 5000), attempts: 4)
        #expect(other.step(HTTPReply(status: 204)) == .done && other.step(HTTPReply(status: 404)) == .giveUp)
    }
}
