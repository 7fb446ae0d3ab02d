import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

/// The other side of a WebSocket, against our own server.
@Suite struct WebSocketDialerTests {
    private func with<Result: Sendable>(
        _ target: String = "/ws", limits: WebSocketLimits = WebSocketLimits(),
        _ serve: @escaping WebSocketUpgrade.Serve, _ body: @escaping @Sendable (WebSocket) async throws -> Result
    ) async throws -> Result {
        var api = HTTPAPI(.decoded, logger: Logger(label: "test"), render: { _, _ in .empty(.notFound) })
        api.on(.GET, "/ws") { request in
            guard request.headers["x-key"] == ["k"] else { return .empty(.forbidden) }
            return try .webSocket(request, serve)
        }
        return try await withServer(application: api) { address in
            var dialer = WebSocketDialer(host: "127.0.0.1", port: address.port!)
            dialer.limits = limits
            let socket = try await dialer.connect(
                target, headers: ["host": "127.0.0.1", "x-key": "k"], on: MultiThreadedEventLoopGroup.singleton)
            let result = try await body(socket)
            await socket.close()
            return result
        }
    }

    @Test func `messages go both ways, whatever their size`() async throws {
        let large = ByteBuffer(repeating: 0xfe, count: 300_000)
        let answers = try await with { socket in
            for try await message in socket.messages { try await socket.send(message) }
        } _: { socket -> [WebSocketMessage] in
            var answers: [WebSocketMessage] = []
            try await socket.send(.text("hé"))
            try await socket.send(.binary(large))
            for try await message in socket.messages {
                answers.append(message)
                if answers.count == 2 { break }
            }
            return answers
        }
        #expect(answers == [.text("hé"), .binary(large)])
    }

    @Test func `the messages end when the server closes`() async throws {
        let answers = try await with { socket in
            try await socket.send(.text("last"))
        } _: { socket -> [WebSocketMessage] in
            var answers: [WebSocketMessage] = []
            for try await message in socket.messages { answers.append(message) }
            return answers
        }
        #expect(answers == [.text("last")])
    }

    @Test func `a message above the limit ends it, and takes no memory`() async throws {
        var limits = WebSocketLimits()
        limits.maxMessage = 1000
        await #expect(throws: WebSocketClose.self) {
            try await with(limits: limits) { socket in
                try await socket.send(.text(String(repeating: "x", count: 1001)))
                for try await _ in socket.messages {}
            } _: { socket in
                for try await _ in socket.messages {}
            }
        }
    }

    @Test func `an answer that is no upgrade is an error`() async throws {
        await #expect(throws: WebSocketDialer.Refused.self) {
            try await with("/none") { _ in
            } _: { _ in
            }
        }
    }
}
