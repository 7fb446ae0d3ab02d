import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import TestSupport
import Testing

private typealias Frame = WebSocketClient.Frame
private struct RouteError: Error {}

private func serving(
    _ limits: WebSocketLimits = WebSocketLimits(), _ serve: @escaping WebSocketUpgrade.Serve
) -> HTTPAPI {
    var api = HTTPAPI(
        .decoded, logger: Logger(label: "test"),
        render: { error, _ in .empty((error as? WebSocketHandshakeError)?.status ?? .notFound) })
    api.on(.GET, "/ws") { try .webSocket($0, headers: ["x-extra": "yes"], limits: limits, serve) }
    api.on(.GET, "/plain") { _ in .text(.ok, "plain") }
    return api
}

private let echo: WebSocketUpgrade.Serve = { socket in
    for try await message in socket.messages { try await socket.send(message) }
}

@Suite struct WebSocketTests {
    private func with<Result: Sendable>(
        _ limits: WebSocketLimits = WebSocketLimits(), _ serve: @escaping WebSocketUpgrade.Serve = echo,
        early: [UInt8] = [], _ body: @escaping @Sendable (inout WebSocketClient, String) async throws -> Result
    ) async throws -> Result {
        try await withServer(application: serving(limits, serve)) {
            try await WebSocketClient.with($0, WebSocketClient.handshake("/ws"), early: early, body)
        }
    }

    @Test func `the handshake is answered by RFC 6455's example, and messages go both ways`() async throws {
        try await with { client, head in
            #expect(head.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
            #expect(head.lowercased().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"))
            #expect(head.contains("x-extra: yes\r\n") && !head.lowercased().contains("content-length"))
            try await client.send(.text("hello"))
            #expect(try await client.next() == .text("hello"))
            let large = [UInt8](repeating: 0xfe, count: 100_000)
            try await client.send(Frame(2, large))
            #expect(try await client.next() == Frame(2, large))
            try await client.send(Frame(1, Array("in ".utf8)), isLast: false)
            try await client.send(Frame(9, [1, 2, 3]))
            #expect(try await client.next() == Frame(10, [1, 2, 3]))
            try await client.send(Frame(0, Array("parts".utf8)))
            #expect(try await client.next() == .text("in parts"))
        }
    }

    @Test func `what comes together with the handshake is not lost`() async throws {
        try await with(early: WebSocketClient.bytes(.text("early"))) { client, _ in
            let frame = try await client.next()
            #expect(frame == .text("early"))
        }
    }

    @Test func `a client's close frame is answered with its code, and the route's messages end`() async throws {
        let ended = Mutex(0)
        try await with(
            WebSocketLimits(),
            { socket in
                for try await _ in socket.messages {}
                ended.withLock { $0 += 1 }
            }
        ) { client, _ in
            try await client.send(.close(3001, "bye"))
            #expect(try await client.next() == .close(3001, "bye"))
            #expect(try await client.next() == nil)
        }
        // The route's task may learn of it after the client has.
        #expect(try await eventually { ended.withLock { $0 } == 1 })
    }

    @Test func `the code says how the route has ended`() async throws {
        func last(_ serve: @escaping WebSocketUpgrade.Serve) async throws -> Frame? {
            try await with(WebSocketLimits(), serve) { client, _ in
                let close = try await client.next()
                try await client.send(.close(1000))
                #expect(try await client.next() == nil)
                return close
            }
        }
        #expect(try await last { _ in } == .close(1000))
        #expect(try await last { _ in throw RouteError() }?.closeCode == 1011)
        #expect(try await last { await $0.close(WebSocketClose(4001, "TAKEN_OVER")) } == .close(4001, "TAKEN_OVER"))
        #expect(try await last { _ in throw WebSocketClose(4002) } == .close(4002))
    }

    @Test func `a client that breaks the protocol is told why and cut off`() async throws {
        var limits = WebSocketLimits()
        limits.maxMessage = 1000
        let faults: [(UInt16, [UInt8])] = [
            (1002, WebSocketClient.bytes(.text("x"), isMasked: false)),
            (1002, WebSocketClient.bytes(.text("x"), flags: 0x40)),
            (1002, WebSocketClient.bytes(Frame(9), isLast: false)),
            (1002, WebSocketClient.bytes(Frame(9, [UInt8](repeating: 0, count: 126)))),
            (1007, WebSocketClient.bytes(Frame(1, [0xff]))),
            (1009, WebSocketClient.bytes(Frame(2, [UInt8](repeating: 0, count: 1001)))),
            // A length alone: nothing is waited for.
            (1009, [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]),
            (1009, [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]),
        ]
        for (code, bytes) in faults {
            let thrown = Mutex<UInt16?>(nil)
            try await with(
                limits,
                { socket in
                    do { for try await _ in socket.messages {} } catch let close as WebSocketClose {
                        thrown.withLock { $0 = close.code }
                    }
                }
            ) { client, _ in
                try await client.send(bytes)
                #expect(try await client.next()?.closeCode == code)
                #expect(try await client.next() == nil)
            }
            #expect(try await eventually { thrown.withLock { $0 } == code })
        }
    }

    @Test func `a silent client is pinged, then cut off, and the route learns that it has gone`() async throws {
        var limits = WebSocketLimits()
        (limits.pingInterval, limits.maxSilence) = (.milliseconds(20), .milliseconds(50))
        let gone = Mutex(false)
        try await with(
            limits,
            { socket in
                do { for try await _ in socket.messages {} } catch is WebSocketGone { gone.withLock { $0 = true } }
            }
        ) { client, _ in
            #expect(try await client.next() == Frame(9))
            while let frame = try await client.next() { #expect(frame == Frame(9)) }
        }
        #expect(try await eventually { gone.withLock { $0 } })
    }

    @Test func `a client that answers pings stays`() async throws {
        var limits = WebSocketLimits()
        (limits.pingInterval, limits.maxSilence) = (.milliseconds(20), .seconds(60))
        try await with(limits) { client, _ in
            for _ in 0..<5 {
                #expect(try await client.next() == Frame(9))
                try await client.send(Frame(10))
            }
            try await client.send(.close(1000))
            while let frame = try await client.next() { #expect(frame == Frame(9) || frame.closeCode == 1000) }
        }
    }

    @Test func `a client that vanishes ends the route, also one that waits to send`() async throws {
        let (ends, end) = AsyncStream<String>.makeStream()
        let api = serving { socket in
            do {
                while true { try await socket.send(.binary(ByteBuffer(repeating: 0, count: 1 << 20))) }
            } catch { end.yield("\(type(of: error))") }
        }
        try await withServer(application: api) { address in
            try await WebSocketClient.with(address, WebSocketClient.handshake("/ws")) { client, _ in
                _ = try await client.next()
            }
            for await error in ends {
                #expect(error == "WebSocketGone")
                break
            }
        }
    }

    @Test func `a client that does not read holds up neither another one nor its own end`() async throws {
        let message = ByteBuffer(repeating: 1, count: 1 << 20)
        let (ends, end) = AsyncStream<Bool>.makeStream()
        let api = serving { socket in
            let sending = Task { while true { try await socket.send(.binary(message)) } }
            // The quick one leaves, and the slow one asks for the end.
            let asksForEnd = (try? await socket.messages.first { _ in true }) != nil
            if asksForEnd { await socket.close(WebSocketClose(4001, "TAKEN_OVER"), within: .milliseconds(50)) }
            do { try await sending.value } catch { end.yield(error is WebSocketGone) }
        }
        try await withServer(application: api) { address in
            try await WebSocketClient.with(address, WebSocketClient.handshake("/ws")) { slow, _ in
                try await WebSocketClient.with(address, WebSocketClient.handshake("/ws")) { quick, _ in
                    for _ in 0..<32 {
                        let frame = try await quick.next()
                        #expect(frame?.payload.count == 1 << 20)
                    }
                }
                try await slow.send(.text("end"))
            }
        }
        var sent = ends.makeAsyncIterator()
        for _ in 0..<2 { #expect(await sent.next() == true) }
    }

    @Test func `while the route does not read, the client is not read either`() async throws {
        let order = Mutex<[String]>([])
        let (starts, start) = AsyncStream<Void>.makeStream()
        let isFirst = Atomic(true)
        let message = Frame(2, [UInt8](repeating: 1, count: 1 << 18))
        let api = serving { socket in
            if isFirst.exchange(false, ordering: .relaxed) {
                for await _ in starts { break }
                order.withLock { $0.append("reads") }
            }
            for try await _ in socket.messages {}
        }
        @Sendable func sendAll(_ client: inout WebSocketClient) async throws {
            for _ in 0..<64 { try await client.send(message) }
            try await client.send(Frame(9))
            #expect(try await client.next() == Frame(10))
        }
        try await withServer(application: api) { address in
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await WebSocketClient.with(address, WebSocketClient.handshake("/ws")) { held, _ in
                    group.addTask {
                        try await WebSocketClient.with(address, WebSocketClient.handshake("/ws")) { free, _ in
                            try await sendAll(&free)
                        }
                        // As much has passed through the other connection by now.
                        start.yield()
                    }
                    try await sendAll(&held)
                    order.withLock { $0.append("pong") }
                }
            }
        }
        #expect(order.withLock { $0 } == ["reads", "pong"])
    }

    @Test func `a server that ends says so to its WebSockets`() async throws {
        let server = HTTPServer(
            group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "test"),
            application: serving(WebSocketLimits(), echo))
        let address = try await server.start(on: .tcp(host: "127.0.0.1", port: 0))
        try await WebSocketClient.with(address, WebSocketClient.handshake("/ws")) { client, _ in
            async let end: Void = server.shutdown(grace: .seconds(60))
            #expect(try await client.next()?.closeCode == 1001)
            try await client.send(.close(1001))
            #expect(try await client.next() == nil)
            await end
        }
    }

    @Test func `a handshake that is refused is an ordinary answer, and ends its connection`() async throws {
        let answer = try await withServer(application: serving { _ in }) {
            try await RawClient($0).exchange(
                WebSocketClient.handshake("/ws", ["Origin: https://evil.example"])
                    + "GET /plain HTTP/1.1\r\nHost: h\r\n\r\n")
        }
        #expect(answer.hasPrefix("HTTP/1.1 403 Forbidden\r\n") && !answer.contains("plain"))
        let plain = try await withServer(application: serving { _ in }) {
            try await RawClient($0).exchange(WebSocketClient.handshake("/plain"))
        }
        #expect(plain.hasPrefix("HTTP/1.1 200 OK\r\n") && plain.hasSuffix("\r\n\r\nplain"))
    }
}
