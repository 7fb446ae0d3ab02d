import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import TestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#endif

func withServer<Result: Sendable>(
    limits: HTTPLimits = HTTPLimits(), handler: @escaping HTTPHandler,
    _ body: @Sendable (SocketAddress) async throws -> Result
) async throws -> Result {
    try await withServer(
        HTTPServer(
            group: MultiThreadedEventLoopGroup.singleton, limits: limits, logger: Logger(label: "test"),
            handler: handler), body)
}

func withServer<Result: Sendable>(
    application: any HTTPApplication, _ body: @Sendable (SocketAddress) async throws -> Result
) async throws -> Result {
    try await withServer(
        HTTPServer(
            group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "test"), application: application), body
    )
}

private func withServer<Result: Sendable>(
    _ server: HTTPServer, _ body: @Sendable (SocketAddress) async throws -> Result
) async throws -> Result {
    let address = try await server.start(on: .tcp(host: "127.0.0.1", port: 0))
    do {
        let result = try await body(address)
        await server.shutdown(grace: .seconds(60))
        return result
    } catch {
        await server.shutdown(grace: .zero)
        throw error
    }
}

@Suite struct HTTPServerTests {
    @Test func `a request gets the handler's answer with a length and a date`() async throws {
        let answer = try await withServer(handler: { request, writer in
            try? await writer.send(.text(.ok, "\(request.method) \(request.path) \(request.query("a") ?? "-")"))
        }) { try await RawClient($0).exchange("GET /x%20y?a=1+2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") }
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(answer.contains("content-length: 14\r\n"))
        #expect(answer.contains("date: "))
        #expect(answer.hasSuffix("\r\n\r\nGET /x%20y 1 2"))
    }

    @Test func `pipelined requests are answered in their order on one connection`() async throws {
        let answer = try await withServer(handler: { request, writer in
            try? await writer.send(.text(.ok, "<\(request.path)>"))
        }) {
            try await RawClient($0).exchange(
                "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            )
        }
        let bodies = answer.split(separator: "\r\n\r\n").compactMap { $0.hasPrefix("<") ? $0.prefix(4) : nil }
        #expect(bodies == ["</1>", "</2>", "</3>"])
    }

    @Test func `a body that stops coming is cut, and one that gets on is not`() async throws {
        let handler: HTTPHandler = { request, writer in
            let body = try? await request.body.collect(upTo: 100)
            try? await writer.send(.text(.ok, body.map { String(buffer: $0) } ?? "cut"))
        }
        let post = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
        var limits = HTTPLimits()
        limits.bodyTimeout = .milliseconds(50)
        let cut = try await withServer(limits: limits, handler: handler) {
            try await RawClient($0).exchange(post + "x")
        }
        #expect(cut == "")
        // Its time runs behind another request, too, where no read follows.
        let pipelined = try await withServer(limits: limits, handler: handler) {
            try await RawClient($0).exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n" + post)
        }
        #expect(pipelined.hasPrefix("HTTP/1.1 200") && pipelined.split(separator: "HTTP/1.1").count == 1)
        let whole = try await withServer(limits: limits, handler: handler) {
            try await RawClient($0).exchange(post + "xy")
        }
        #expect(whole.hasSuffix("xy"))
    }

    @Test func `a chunked body is read to its end and no further than the limit`() async throws {
        let handler: HTTPHandler = { request, writer in
            do {
                let body = try await request.body.collect(upTo: 8)
                try await writer.send(.text(.ok, String(buffer: body)))
            } catch {
                try? await writer.send(
                    .json(.payloadTooLarge, ["code": "TOO_LARGE", "message": "\(error)"]))
            }
        }
        func send(_ body: String) async throws -> String {
            try await withServer(handler: handler) {
                try await RawClient($0).exchange(
                    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body)
            }
        }
        #expect(try await send("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").hasSuffix("abcde"))
        let refused = try await send("9\r\nabcdefghi\r\n0\r\n\r\n")
        #expect(refused.hasPrefix("HTTP/1.1 413"))
        #expect(refused.contains(#""message":"the request body is larger than 8 bytes""#))
    }

    @Test func `an expecting client is told to go on`() async throws {
        let answer = try await withServer(handler: { request, writer in
            let body = try? await request.body.collect(upTo: 100)
            try? await writer.respond(.ok, body: body ?? ByteBuffer())
        }) {
            try await RawClient($0).exchange(
                "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
            )
        }
        #expect(answer.hasPrefix("HTTP/1.1 100 Continue\r\n"))
        #expect(answer.contains("\r\n\r\nHTTP/1.1 200 OK\r\n"))
        #expect(answer.hasSuffix("ok"))
    }

    @Test func `a streamed part arrives before the next one is written`() async throws {
        let (seen, confirm) = AsyncStream<Void>.makeStream()
        let answer = try await withServer(handler: { _, writer in
            try? await writer.start(.ok, headers: ["content-type": "text/event-stream"])
            try? await writer.write(ByteBuffer(string: "first\n"))
            for await _ in seen { break }
            try? await writer.write(ByteBuffer(string: "second\n"))
            try? await writer.finish()
        }) {
            try await RawClient($0).exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n") { received in
                if received.contains("first\n") { confirm.yield() }
                return received.hasSuffix("0\r\n\r\n")
            }
        }
        #expect(answer.contains("transfer-encoding: chunked"))
        #expect(answer.contains("second\n"))
    }

    @Test func `the first part goes out with the head, and nothing behind the last`() async throws {
        let (seen, confirm) = AsyncStream<Void>.makeStream()
        let answer = try await withServer(handler: { _, writer in
            try? await writer.start(.ok, first: ByteBuffer(string: "first\n"))
            for await _ in seen { break }
            try? await writer.finish(ByteBuffer(string: "last\n"))
            await #expect(throws: HTTPBodyError.clientGone) { try await writer.write(ByteBuffer(string: "late\n")) }
        }) {
            try await RawClient($0).exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n") { received in
                if received.contains("first\n") { confirm.yield() }
                return received.hasSuffix("0\r\n\r\n")
            }
        }
        #expect(answer.hasSuffix("\r\n\r\n6\r\nfirst\n\r\n5\r\nlast\n\r\n0\r\n\r\n"))
    }

    @Test func `the handler learns that its client has gone`() async throws {
        let (gone, report) = AsyncStream<Void>.makeStream()
        try await withServer(handler: { _, writer in
            try? await writer.start(.ok)
            writer.whenClientGone { report.finish() }
            try? await writer.write(ByteBuffer(string: "x"))
            for await _ in gone {}
        }) { address in
            _ = try await RawClient(address).exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n") { $0.contains("x") }
            for await _ in gone {}
        }
    }

    @Test func `clients that go in the middle of a body do not get a second answer`() async throws {
        let answer = try await withServer(handler: { request, writer in
            _ = try? await request.body.collect(upTo: 100)
            try? await writer.send(.text(.ok, "answered"))
        }) { address in
            for body in ["", "[", "Transfer-Encoding: chunked\r\n\r\nzz\r\n"] {
                let head = body.hasPrefix("T") ? "" : "Content-Length: 50\r\n\r\n"
                await withTaskGroup { group in
                    for _ in 0..<100 {
                        group.addTask {
                            try? await RawClient(address).leave(
                                after: "POST / HTTP/1.1\r\nHost: h\r\n" + head + body)
                        }
                    }
                }
            }
            return try await RawClient(address).exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        }
        #expect(answer.hasSuffix("answered"))
    }

    @Test func `a handler that answers nothing closes the connection`() async throws {
        let answer = try await withServer(handler: { _, _ in }) {
            try await RawClient($0).exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        }
        #expect(answer.isEmpty)
    }

    @Test func `a body nobody reads does not hold up the next request`() async throws {
        let size = 4 << 20
        let answer = try await withServer(handler: { request, writer in
            try? await writer.send(.text(.ok, request.path))
        }) {
            try await RawClient($0).exchange(
                "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: \(size)\r\n\r\n" + String(repeating: "x", count: size)
                    + "GET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        }
        #expect(answer.contains("/1"))
        #expect(answer.hasSuffix("/2"))
    }

    @Test func `what is not HTTP gets 400 and the connection closes`() async throws {
        let answer = try await withServer(handler: { _, writer in try? await writer.send(.text(.ok, "no")) }) {
            try await RawClient($0).exchange("NONSENSE\r\n\r\n")
        }
        #expect(answer.hasPrefix("HTTP/1.1 400"))
    }

    @Test func `one connection too many is closed`() async throws {
        var limits = HTTPLimits()
        limits.maxConnections = 0
        let answer = try await withServer(
            limits: limits, handler: { _, writer in try? await writer.send(.text(.ok, "no")) }
        ) {
            try? await RawClient($0).exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        }
        #expect(answer ?? "" == "")
    }

    @Test func `an unused connection is closed after the idle time`() async throws {
        var limits = HTTPLimits()
        limits.idleTimeout = .milliseconds(20)
        let answer = try await withServer(limits: limits, handler: { _, _ in }) {
            try? await RawClient($0).exchange("GET / HTTP/1.1\r\nHo")
        }
        // It may be closed before the client has written its half of a head.
        #expect(answer ?? "" == "")
    }

    @Test func `a unix socket serves and has the mode that was asked for`() async throws {
        let path = "/tmp/spt-http-\(UInt32.random(in: 0 ... .max)).sock"
        let server = HTTPServer(group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "test")) {
            _, writer in
            try? await writer.send(.text(.ok, "unix"))
        }
        let address = try await server.start(on: .unix(path: path, mode: 0o600))
        let answer = try await RawClient(address).exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        #expect(answer.hasSuffix("unix"))
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        await server.shutdown(grace: .zero)
        unlink(path)
    }
}
