import HTTPWire
import Ingress
import NIOCore
import TestSupport
import Testing

/// Frames as text: all of their bytes are ASCII, since nothing is compressed and lengths are small.
private enum Frame {
    static let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    static let settings = text(4)
    /// Before it, the client's windows are 65535 bytes; then nothing may be sent to it.
    static let noWindow = text(4, payload: "\0\u{4}\0\0\0\0")

    static func text(_ kind: UInt8, flags: UInt8 = 0, stream: UInt8 = 0, payload: String = "") -> String {
        let head = [0, 0, UInt8(payload.utf8.count), kind, flags, 0, 0, 0, stream]
        return String(decoding: head, as: UTF8.self) + payload
    }

    /// A whole request.
    static func get(_ path: String = "/", to route: String = "s-80", stream: UInt8 = 1, _ more: [String: String] = [:])
        -> String
    {
        let fields = [
            (":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", path),
            ("opensandbox-ingress-to", route),
        ]
        var block = ""
        for (name, value) in fields + Array(more) {
            for part in [name, value] {
                if part == name { block += "\0" }
                block += String(decoding: [UInt8(part.utf8.count)], as: UTF8.self) + part
            }
        }
        return text(1, flags: 5, stream: stream, payload: block)
    }

    static let goaway = "\0\0\u{8}\u{7}\0"
}

@Suite struct HTTP2Tests {
    @Test func `two streams share a connection, and each is an exchange of its own`() async throws {
        let one = try await ScriptedBackend.answering("first answer")
        let two = try await ScriptedBackend.answering("second answer")
        let directory = TestDirectory()
        directory.set("s", at: one.address)
        directory.set("t", at: two.address)
        let answer = try await withGateway(directory) { address in
            let both = Frame.get("/a?b") + Frame.get("/c", to: "t-80", stream: 3)
            return try await RawClient(address).exchange(Frame.preface + Frame.settings + both) {
                $0.contains("first answer") && $0.contains("second answer")
            }
        }
        #expect(answer.contains("first answer") && answer.contains("second answer"))
        #expect(one.received.hasPrefix("GET /a?b HTTP/1.1\r\n") && two.received.hasPrefix("GET /c HTTP/1.1\r\n"))
        #expect(one.received.contains("x-forwarded-proto: http\r\n"))
        let seen = (one.received + two.received).lowercased()
        #expect(!seen.contains("opensandbox-ingress-to") && !seen.contains("opensandbox-secure-access"))
        #expect(directory.accesses.count == 2)
        for backend in [one, two] { await backend.close() }
    }

    @Test func `a preface in single bytes is one, too`() async throws {
        let backend = try await ScriptedBackend.answering("hello")
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        try await withGateway(directory) { address in
            let steps = Frame.preface.map { (send: String($0), awaited: "") }
            let answer = try await DialogueClient(address).run(steps + [(Frame.settings + Frame.get(), "hello")])
            #expect(answer.contains("hello"))
        }
        await backend.close()
    }

    @Test(arguments: ["P", "PRI * HTTP/2.0\r\n", Frame.preface, Frame.preface + "\0\0\u{6}\u{4}"])
    func `a connection that does not begin in time is ended`(beginning: String) async throws {
        var limits = ProxyLimits()
        limits.headTimeout = .milliseconds(30)
        // On a busy machine it may be ended before all is written, which is an error, too.
        try await withGateway(TestDirectory(), limits: limits) { _ = try? await RawClient($0).exchange(beginning) }
    }

    @Test func `an unused connection is told to go, and ended whether it answers or not`() async throws {
        let backend = try await ScriptedBackend.answering("hello")
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        var limits = ProxyLimits()
        limits.keepAliveTimeout = .milliseconds(500)
        limits.lingerTimeout = .milliseconds(100)
        try await withGateway(directory, limits: limits) { address in
            // On a busy machine the time may be over before the client has said a word: then it tries again.
            let isTold = try await eventually {
                let answer = try? await RawClient(address).exchange(Frame.preface + Frame.settings + Frame.get())
                return answer?.contains("hello") == true && answer?.contains(Frame.goaway) == true
            }
            #expect(isTold)
        }
        await backend.close()
    }

    @Test func `a client that opens no window ends its exchange and no other`() async throws {
        let large = try await ScriptedBackend { received, _ in
            guard received.hasSuffix("\r\n\r\n") else { return nil }
            return .init(
                bytes: "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + String(repeating: "x", count: 1_000_000))
        }
        let small = try await ScriptedBackend { received, _ in
            received.hasSuffix("\r\n\r\n") ? .init(bytes: "HTTP/1.1 204 No Content\r\nX-Own: small\r\n\r\n") : nil
        }
        let directory = TestDirectory()
        directory.set("s", at: large.address)
        directory.set("t", at: small.address)
        var limits = ProxyLimits()
        limits.stallTimeout = .milliseconds(50)
        try await withGateway(directory, limits: limits) { address in
            let answer = try await DialogueClient(address).run(
                [(Frame.preface + Frame.noWindow + Frame.get(), "\u{1}\u{4}\0\0\0\u{1}")],
                between: {
                    let ended = try await eventually { large.ended == 1 }
                    #expect(ended)
                },
                then: { [(Frame.get(to: "t-80", stream: 3), "\u{1}\u{5}\0\0\0\u{3}")] })
            #expect(answer.contains("\u{1}\u{5}\0\0\0\u{3}") && !answer.contains("xxxx"), "\(answer.debugDescription)")
        }
        for backend in [large, small] { await backend.close() }
    }
}
