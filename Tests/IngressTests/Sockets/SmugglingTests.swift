import HTTPWire
import Ingress
import TestSupport
import Testing

/// Requests that two parsers could read in two ways, or that no parser should take. Each gets 400 (or what stands beside
/// it) and the end of the connection, and no sandbox sees a request.
@Suite struct SmugglingTests {
    private static let to = "OpenSandbox-Ingress-To: s-80\r\n"

    static let refused: [(why: String, request: String)] = [
        (
            "CL.TE",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"
        ),
        (
            "TE.CL",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n"
        ),
        (
            "TE.TE",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n"
        ),
        ("two chunked", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        ("identity", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nx"),
        ("gzip", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("xchunked", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("vertical tab", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n"),
        ("quoted", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
        ("space in name", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        ("tab in name", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Content-Length\t: 1\r\n\r\nx"),
        ("1.0 chunked", "POST / HTTP/1.0\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("two lengths", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy"),
        ("equal lengths", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
        ("length list", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Content-Length: 1, 1\r\n\r\nx"),
        ("plus", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Content-Length: +1\r\n\r\nx"),
        ("minus", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Content-Length: -1\r\n\r\nx"),
        ("hexadecimal", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Content-Length: 0x1\r\n\r\nx"),
        ("empty length", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Content-Length: \r\n\r\nx"),
        ("length overflow", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Content-Length: 18446744073709551617\r\n\r\nx"),
        ("space in length", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Content-Length: 1 1\r\n\r\nx"),
        ("obs-fold", "POST / HTTP/1.1\r\nHost: h\r\n\(to)X: a\r\n b\r\n\r\n"),
        ("folded coding", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
        ("leading space", "POST / HTTP/1.1\r\n Host: h\r\n\(to)\r\n"),
        ("bare LF", "GET / HTTP/1.1\nHost: h\nOpenSandbox-Ingress-To: s-80\n\n"),
        ("bare LF in fields", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\(to)\r\n"),
        ("bare LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\(to)\n"),
        ("bare CR", "GET / HTTP/1.1\r\nHost: h\r\n\(to)X: a\rY: b\r\n\r\n"),
        ("NUL in a value", "GET / HTTP/1.1\r\nHost: h\r\n\(to)X: a\u{0}b\r\n\r\n"),
        ("NUL in a name", "GET / HTTP/1.1\r\nHost: h\r\n\(to)X\u{0}: b\r\n\r\n"),
        ("DEL in a value", "GET / HTTP/1.1\r\nHost: h\r\n\(to)X: a\u{7f}b\r\n\r\n"),
        ("no colon", "GET / HTTP/1.1\r\nHost: h\r\n\(to)Nonsense\r\n\r\n"),
        ("empty name", "GET / HTTP/1.1\r\nHost: h\r\n\(to): x\r\n\r\n"),
        ("no host", "GET / HTTP/1.1\r\n\(to)\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\(to)\r\n"),
        ("host list", "GET / HTTP/1.1\r\nHost: h, i\r\n\(to)\r\n"),
        ("host with user", "GET / HTTP/1.1\r\nHost: u@h\r\n\(to)\r\n"),
        ("host with path", "GET / HTTP/1.1\r\nHost: h/x\r\n\(to)\r\n"),
        ("other authority", "GET http://other/ HTTP/1.1\r\nHost: h\r\n\(to)\r\n"),
        ("authority form", "GET h:80 HTTP/1.1\r\nHost: h\r\n\(to)\r\n"),
        ("CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\(to)\r\n"),
        ("asterisk", "GET * HTTP/1.1\r\nHost: h\r\n\(to)\r\n"),
        ("space in target", "GET /a b HTTP/1.1\r\nHost: h\r\n\(to)\r\n"),
        ("tab in target", "GET /a\tb HTTP/1.1\r\nHost: h\r\n\(to)\r\n"),
        ("NUL in target", "GET /a\u{0}b HTTP/1.1\r\nHost: h\r\n\(to)\r\n"),
        ("fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\(to)\r\n"),
        ("bytes beyond ASCII in target", "GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\(to)\r\n"),
        ("no version", "GET /\r\nHost: h\r\n\(to)\r\n"),
        ("other protocol", "GET / XTTP/1.1\r\nHost: h\r\n\(to)\r\n"),
        ("unknown method", "GE T / HTTP/1.1\r\nHost: h\r\n\(to)\r\n"),
        (
            "chunk size sign",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n"
        ),
        (
            "chunk size prefix",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n"
        ),
        (
            "chunk size overflow",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\n"
        ),
        ("chunk size empty", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n\r\nx\r\n0\r\n\r\n"),
        (
            "chunk extension",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n1;x=y\r\nx\r\n0\r\n\r\n"
        ),
        (
            "chunk empty extension",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n1;\r\nx\r\n0\r\n\r\n"
        ),
        (
            "chunk extension with LF",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n1;\nx\r\n0\r\n\r\n"
        ),
        (
            "chunk quoted extension",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n1;a=\"\r\n\"\r\nx\r\n0\r\n\r\n"
        ),
        (
            "chunk last extension",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0;a=b\r\n\r\n"
        ),
        (
            "chunk size with a space",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n"
        ),
        (
            "chunk size with a tab",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n1\t;a\r\nx\r\n0\r\n\r\n"
        ),
        (
            "chunk second extension",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1;a\r\ny\r\n0\r\n\r\n"
        ),
        ("chunk bare LF", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n"),
        ("chunk without CRLF", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n1\r\nxy0\r\n\r\n"),
        (
            "chunk extension with LF",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\n"
        ),
        ("trailer bare LF", "POST / HTTP/1.1\r\nHost: h\r\n\(to)Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n"),
        ("Connection: host", "GET / HTTP/1.1\r\nHost: h\r\n\(to)Connection: host\r\n\r\n"),
        (
            "Connection: length",
            "POST / HTTP/1.1\r\nHost: h\r\n\(to)Connection: content-length\r\nContent-Length: 1\r\n\r\nx"
        ),
        (
            "upgrade with body",
            "GET / HTTP/1.1\r\nHost: h\r\n\(to)Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx"
        ),
        ("two routes", "GET / HTTP/1.1\r\nHost: h\r\n\(to)\(to)Connection: close\r\n\r\n"),
        ("route list", "GET / HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: s-80, t-80\r\nConnection: close\r\n\r\n"),
        ("a broken HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n"),
    ]

    @Test func `every ambiguous request is refused and none reaches a sandbox`() async throws {
        #expect(Self.refused.count >= 60)
        let backend = try await ScriptedBackend.answering("no")
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        directory.set("t", at: backend.address)
        try await withGateway(directory) { address in
            for (why, request) in Self.refused {
                let answer = try await RawClient(address).exchange(
                    request + "GET /smuggled HTTP/1.1\r\nHost: h\r\n\(Self.to)\r\n")
                #expect(
                    answer.hasPrefix("HTTP/1.1 400 ") || answer.hasPrefix("HTTP/1.0 400 ")
                        || answer.hasPrefix("HTTP/1.1 505 "), "\(why): \(answer)")
                #expect(!answer.contains("}HTTP/1."), "\(why): one answer and the end")
                #expect(
                    backend.received.replacing("<end>", with: "").isEmpty,
                    "\(why) reached the sandbox: \(backend.received)")
            }
        }
        await backend.close()
    }

    @Test func `a chunk extension that comes late ends the request that had begun`() async throws {
        let backend = try await ScriptedBackend { received, _ in
            received.contains("\r\n0\r\n\r\n") ? .init(bytes: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") : nil
        }
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        @Sendable func bodies(_ head: String) -> String {
            let whole = String(repeating: "1\r\nx\r\n", count: 40)
            return head + "Host: h\r\nTransfer-Encoding: chunked\r\n\r\n" + whole + "1;a=b\r\ny\r\n0\r\n\r\n"
        }
        let throughGateway = try await withGateway(directory) {
            try await SlowClient($0).exchange(bodies("POST / HTTP/1.1\r\n\(Self.to)"))
        }
        #expect(throughGateway.hasPrefix("HTTP/1.1 400 "))
        let throughProxy = try await withServerProxy(directory) {
            try await SlowClient($0).exchange(bodies("POST /sandboxes/s/proxy/80/ HTTP/1.1\r\n"))
        }
        #expect(!throughProxy.contains("200 OK"))
        #expect(!backend.received.contains("\r\n0\r\n\r\n"))
        await backend.close()
    }

    @Test func `the same in one byte after another`() async throws {
        let backend = try await ScriptedBackend.answering("no")
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        try await withGateway(directory) { address in
            for (why, request) in Self.refused where !request.contains("chunked\r\n\r\n") {
                let answer = try await SlowClient(address).exchange(request)
                #expect(answer.contains(" 400 ") || answer.contains(" 505 "), "\(why): \(answer)")
                #expect(
                    backend.received.replacing("<end>", with: "").isEmpty,
                    "\(why) reached the sandbox: \(backend.received)")
            }
        }
        await backend.close()
    }
}
