import HTTPServer
import Ingress
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import TestSupport
import Testing

private let to = "Host: h\r\nOpenSandbox-Ingress-To: s-80\r\n"

/// Runs a gateway in front of a scripted sandbox.
private func withSandbox<Result: Sendable>(
    limits: ProxyLimits = .patient, script: @escaping ScriptedBackend.Script,
    _ body: @Sendable (SocketAddress, ScriptedBackend, TestDirectory) async throws -> Result
) async throws -> Result {
    let backend = try await ScriptedBackend(script)
    let directory = TestDirectory()
    directory.set("s", at: backend.address)
    let result = try await withGateway(directory, limits: limits) { try await body($0, backend, directory) }
    await backend.close()
    return result
}

@Suite struct ExchangeTests {
    @Test func `large bodies pass both ways and come out as they went in`() async throws {
        let server = HTTPServer(group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "t")) {
            request, writer in
            try? await writer.start(.ok)
            do { for try await part in request.body { try await writer.write(part) } } catch {}
            try? await writer.finish()
        }
        let directory = TestDirectory()
        directory.set("s", at: try await server.start(on: .tcp(host: "127.0.0.1", port: 0)))
        let body = (0..<1_000_000).map { String($0) }.joined()
        let answer = try await withGateway(directory) {
            try await RawClient($0).exchange(
                "POST / HTTP/1.0\r\n\(to)Content-Length: \(body.utf8.count)\r\n\r\n" + body)
        }
        #expect(answer.hasSuffix(body))
        await server.shutdown(grace: .zero)
    }

    @Test func `requests share connections and pipelined ones are answered in order`() async throws {
        var limits = ProxyLimits.patient
        limits.poolTimeout = .hours(1)
        try await withSandbox(
            limits: limits,
            script: { received, _ in
                guard received.hasSuffix("\r\n\r\n") else { return nil }
                let path = received.split(separator: " ")[1]
                return .init(bytes: "HTTP/1.1 200 OK\r\nContent-Length: \(path.utf8.count)\r\n\r\n\(path)")
            }
        ) { address, backend, _ in
            let answer = try await RawClient(address).exchange(
                "GET /1 HTTP/1.1\r\n\(to)\r\nGET /2 HTTP/1.1\r\n\(to)\r\nGET /3 HTTP/1.1\r\n\(to)Connection: close\r\n\r\n"
            )
            #expect(
                answer.split(separator: "\r\n\r\n").compactMap { $0.first == "/" ? $0.prefix(2) : nil } == [
                    "/1", "/2", "/3",
                ])
            #expect(backend.connections == 1)
        }
    }

    @Test func `an event arrives before the next one is written`() async throws {
        let (seen, confirm) = AsyncStream<Void>.makeStream()
        let server = HTTPServer(group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "t")) { _, writer in
            try? await writer.start(.ok, headers: ["content-type": "text/event-stream"])
            try? await writer.write(ByteBuffer(string: "data: 1\n\n"))
            for await _ in seen { break }
            try? await writer.write(ByteBuffer(string: "data: 2\n\n"))
            try? await writer.finish()
        }
        let directory = TestDirectory()
        directory.set("s", at: try await server.start(on: .tcp(host: "127.0.0.1", port: 0)))
        let answer = try await withGateway(directory) {
            try await RawClient($0).exchange("GET / HTTP/1.1\r\n\(to)\r\n") { received in
                if received.contains("data: 1\n\n") { confirm.yield() }
                return received.hasSuffix("0\r\n\r\n")
            }
        }
        #expect(answer.contains("data: 2\n\n") && answer.contains("transfer-encoding: chunked"))
        await server.shutdown(grace: .zero)
    }

    @Test func `trailers pass and repeated fields are kept`() async throws {
        let answer = try await withSandbox(script: { received, _ in
            guard received.contains("\r\n0\r\n") else { return nil }
            return .init(
                bytes:
                    "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSum: 1\r\n\r\n"
            )
        }) { address, backend, _ in
            let answer = try await RawClient(address).exchange(
                "POST / HTTP/1.1\r\n\(to)Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nCheck: 2\r\nHost: evil\r\n\r\n"
            )
            // On a busy machine the time of an unused connection may have passed by now.
            let received = backend.received.replacing("<end>", with: "")
            #expect(received.hasSuffix("\r\n\r\n3\r\nabc\r\n0\r\nCheck: 2\r\n\r\n"))
            return answer
        }
        #expect(answer.contains("Set-Cookie: a\r\nSet-Cookie: b\r\n"))
        #expect(answer.hasSuffix("2\r\nok\r\n0\r\nSum: 1\r\n\r\n"))
    }

    @Test func `an expecting client is told by the sandbox to go on`() async throws {
        try await withSandbox(script: { received, _ in
            if received.hasSuffix("\r\n\r\n") { return .init(bytes: "HTTP/1.1 100 Continue\r\n\r\n") }
            return received == "ok" ? .init(bytes: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") : nil
        }) { address, _, _ in
            let answer = try await DialogueClient(address).run([
                (
                    "POST / HTTP/1.1\r\n\(to)Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
                    "HTTP/1.1 100 Continue\r\n\r\n"
                ),
                ("ok", "content-length: 0\r\n\r\n"),
            ])
            #expect(answer.hasPrefix("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"))
        }
    }

    @Test(arguments: [
        ("HEAD", "200 OK\r\nContent-Length: 9\r\n\r\n"), ("HEAD", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "204 No Content\r\n\r\n"), ("GET", "304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
    ])
    func `a response without a body leaves both connections usable`(method: String, response: String) async throws {
        try await withSandbox(script: { received, _ in
            received.hasSuffix("\r\n\r\n") ? .init(bytes: "HTTP/1.1 " + response) : nil
        }) { address, backend, _ in
            let request = "\(method) / HTTP/1.1\r\n\(to)\r\n"
            let answer = try await DialogueClient(address).run([(request, "\r\n\r\n"), (request, "\r\n\r\n")])
            #expect(answer.components(separated: "HTTP/1.1 ") == 2 && !answer.contains("chunked"))
            #expect(answer.hasSuffix("\r\n\r\n") && backend.connections == 1)
        }
    }

    @Test func `a response that ends with its connection is whole, and a broken one is seen to be broken`() async throws
    {
        for (response, intact) in [
            ("HTTP/1.1 200 OK\r\n\r\nall", true), ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", false),
        ] {
            try await withSandbox(script: { received, _ in
                received.hasSuffix("\r\n\r\n") ? .init(bytes: response, closes: true) : nil
            }) { address, _, _ in
                let answer = try await RawClient(address).exchange("GET / HTTP/1.1\r\n\(to)\r\n") {
                    $0.hasSuffix("0\r\n\r\n")
                }
                #expect(answer.hasSuffix("0\r\n\r\n") == intact)
            }
        }
    }

    @Test func `an answer that comes early leaves the connection in step`() async throws {
        let big = String(repeating: "x", count: 1 << 20)
        let answer = try await withGateway(TestDirectory()) {
            try await RawClient($0).exchange(
                "POST /1 HTTP/1.1\r\n\(to)Content-Length: \(big.utf8.count)\r\n\r\n\(big)GET /status.ok HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            )
        }
        #expect(answer.hasPrefix("HTTP/1.1 404") && answer.contains("}HTTP/1.1 200 OK"))
    }

    @Test func `what comes behind a last request does not harm it`() async throws {
        try await withSandbox(script: { received, _ in
            received.hasSuffix("\r\n\r\n") ? .init(bytes: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1") : nil
        }) { address, backend, _ in
            let answer = try await RawClient(address).exchange(
                "GET / HTTP/1.1\r\n\(to)Connection: close\r\n\r\nnonsense")
            #expect(answer.hasPrefix("HTTP/1.1 200") && answer.hasSuffix("\r\n\r\n1"))
            #expect(!backend.received.contains("nonsense"))
        }
    }

    @Test func `when the client goes the sandbox is told`() async throws {
        try await withSandbox(script: { received, _ in
            received.hasSuffix("\r\n\r\n") ? .init(bytes: "HTTP/1.1 200 OK\r\n\r\nsome") : nil
        }) { address, backend, _ in
            _ = try await RawClient(address).exchange("GET / HTTP/1.1\r\n\(to)\r\n") { $0.contains("some") }
            #expect(try await eventually { backend.ended == 1 })
        }
    }
}

@Suite struct PoolTests {
    private static let ok = ScriptedBackend.Reply(bytes: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
    private static let request = "GET / HTTP/1.1\r\n\(to)\r\n"

    @Test func `a pooled connection never outlives its incarnation`() async throws {
        try await withSandbox(script: { received, _ in received.hasSuffix("\r\n\r\n") ? Self.ok : nil }) {
            address, backend, directory in
            let client = DialogueClient(address)
            _ = try await client.run([(Self.request, "\r\n\r\n1"), (Self.request, "\r\n\r\n1")]) {
                directory.set("s", at: backend.address, incarnation: "2")
            } then: {
                [(Self.request, "\r\n\r\n1")]
            }
            #expect(backend.connections == 2)
            #expect(try await eventually { backend.ended == 2 })
        }
    }

    @Test func `a stale connection is tried once more where that is safe`() async throws {
        // Each connection serves one request and is closed at the sight of a second.
        let script: ScriptedBackend.Script = { received, connection in
            guard received.hasSuffix("\r\n\r\n") else { return nil }
            return received.contains("/second") && connection == 1 ? .init(bytes: "", closes: true) : Self.ok
        }
        try await withSandbox(script: script) { address, backend, _ in
            let answer = try await DialogueClient(address).run([
                (Self.request, "\r\n\r\n1"), ("GET /second HTTP/1.1\r\n\(to)\r\n", "\r\n\r\n1"),
            ])
            #expect(!answer.contains("502") && backend.connections == 2)
        }
        try await withSandbox(script: script) { address, backend, _ in
            let answer = try await DialogueClient(address).run([
                (Self.request, "\r\n\r\n1"), ("POST /second HTTP/1.1\r\n\(to)Content-Length: 0\r\n\r\n", "}"),
            ])
            #expect(answer.contains("HTTP/1.1 502") && backend.connections == 1)
        }
    }

    @Test func `a connection that its sandbox will close is not kept`() async throws {
        try await withSandbox(script: { received, _ in
            received.hasSuffix("\r\n\r\n")
                ? .init(bytes: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1") : nil
        }) { address, backend, _ in
            let answer = try await DialogueClient(address).run([
                (Self.request, "\r\n\r\n1"), (Self.request, "\r\n\r\n1"),
            ])
            #expect(!answer.contains("lose") && backend.connections == 2)
        }
    }
}

@Suite struct LimitTests {
    @Test func `a head that does not end is cut`() async throws {
        var limits = ProxyLimits.patient
        limits.headTimeout = .milliseconds(30)
        try await withGateway(TestDirectory(), limits: limits) { address in
            // On a busy machine the time may be over before the client has said a word: then it tries again.
            let isTold = try await eventually {
                let answer = try? await RawClient(address).exchange("GET / HTTP/1.1\r\nHost: h\r\nX: ")
                return answer?.hasPrefix("HTTP/1.1 408") == true
            }
            #expect(isTold)
        }
    }

    @Test func `an unused connection is closed without a word`() async throws {
        var limits = ProxyLimits.patient
        limits.keepAliveTimeout = .milliseconds(30)
        let answer = try await withGateway(TestDirectory(), limits: limits) { try? await RawClient($0).exchange("") }
        #expect(answer ?? "" == "")
    }

    @Test func `a body that stops coming is cut`() async throws {
        var limits = ProxyLimits.patient
        limits.bodyTimeout = .milliseconds(30)
        try await withSandbox(limits: limits, script: { _, _ in nil }) { address, backend, _ in
            let answer = try await RawClient(address).exchange("POST / HTTP/1.1\r\n\(to)Content-Length: 9\r\n\r\nx")
            #expect(answer.hasPrefix("HTTP/1.1 408"))
            #expect(try await eventually { backend.ended == backend.connections })
        }
    }

    @Test func `a body that trickles in is cut, and a slow one that gets on is not`() async throws {
        var limits = ProxyLimits.patient
        limits.bodyTimeout = .milliseconds(300)
        let head = "POST / HTTP/1.1\r\n\(to)Connection: close\r\nContent-Length: 1000\r\n\r\n"
        let script: ScriptedBackend.Script = { received, _ in
            received.hasSuffix("y") ? .init(bytes: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") : nil
        }
        // Each byte comes long before the time is over, and the last one long after.
        let body = String(repeating: "x", count: 999) + "y"
        try await withSandbox(limits: limits, script: script) { address, backend, _ in
            let answer = try await SlowClient(address, pause: .milliseconds(10)).exchange(head + body)
            #expect(answer.hasPrefix("HTTP/1.1 408"))
            #expect(try await eventually { backend.ended == backend.connections })
        }
        limits.bodyTimeout = .seconds(30)
        limits.bodyProgress = 1
        try await withSandbox(limits: limits, script: script) { address, _, _ in
            let answer = try await SlowClient(address).exchange(head + body)
            #expect(answer.hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func `a reader that stops stops its sandbox, and is cut`() async throws {
        let written = NIOLockedValueBox(0)
        let (done, report) = AsyncStream<Void>.makeStream()
        let server = HTTPServer(group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "t")) { _, writer in
            try? await writer.start(.ok)
            let part = ByteBuffer(repeating: 0x78, count: 1 << 20)
            for _ in 0..<256 {
                do { try await writer.write(part) } catch { break }
                written.withLockedValue { $0 += 1 }
            }
            report.finish()
        }
        let directory = TestDirectory()
        directory.set("s", at: try await server.start(on: .tcp(host: "127.0.0.1", port: 0)))
        var limits = ProxyLimits.patient
        limits.stallTimeout = .milliseconds(300)
        try await withGateway(directory, limits: limits) { address in
            let client = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelOption(.autoRead, value: false).connect(to: address).get()
            try await client.writeAndFlush(ByteBuffer(string: "GET / HTTP/1.1\r\n\(to)\r\n"))
            for await _ in done {}
            try? await client.close()
        }
        // What kernels hold is a few MiB; the rest was never taken from the sandbox.
        #expect(written.withLockedValue { $0 } < 64)
        await server.shutdown(grace: .zero)
    }

    @Test func `a sandbox that does not take a body is late, not its client`() async throws {
        let deaf = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.autoRead, value: false).bind(host: "127.0.0.1", port: 0).get()
        let directory = TestDirectory()
        directory.set("s", at: deaf.localAddress!)
        var limits = ProxyLimits.patient
        // The client must get on in this time, however busy the machine is.
        limits.bodyTimeout = .seconds(3)
        let body = String(repeating: "x", count: 32 << 20)
        let answer = try await withGateway(directory, limits: limits) {
            try await RawClient($0).exchange(
                "POST / HTTP/1.1\r\n\(to)Content-Length: \(body.utf8.count)\r\n\r\n" + body
            ) { $0.hasSuffix("}") }
        }
        #expect(answer.hasPrefix("HTTP/1.1 504"))
        try await deaf.close()
    }

    @Test func `a head that is too large is refused`() async throws {
        let answer = try await withGateway(TestDirectory()) {
            try await RawClient($0).exchange(get("/", "X: " + String(repeating: "y", count: 40_000)))
        }
        #expect(answer.hasPrefix("HTTP/1.1 4"))
    }

    @Test func `one connection too many is closed`() async throws {
        var limits = ProxyLimits.patient
        limits.maxConnections = 0
        let answer = try await withGateway(TestDirectory(), limits: limits) {
            try? await RawClient($0).exchange(get("/status.ok"))
        }
        #expect(answer ?? "" == "")
    }
}
