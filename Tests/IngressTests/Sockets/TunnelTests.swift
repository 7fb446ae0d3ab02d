import Ingress
import NIOCore
import NIOPosix
import TestSupport
import Testing

private let handshake = """
    GET /ws?x=1 HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: s-80\r\nConnection: keep-alive, Upgrade\r
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
    Sec-WebSocket-Protocol: chat\r\nOrigin: http://h\r\n\r\n
    """

let webSocketAnswer = """
    HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n
    """

/// Agrees to an upgrade with a first frame in the same segment, then answers every text with itself in brackets, and the
/// end of its input with "bye".
func webSocketBackend() async throws -> ScriptedBackend {
    try await ScriptedBackend { received, _ in
        if received.hasSuffix("\r\n\r\n") { return .init(bytes: webSocketAnswer + "welcome") }
        if received.hasSuffix("<end>") { return .init(bytes: "bye", closes: true) }
        return received.hasPrefix("GET") ? nil : .init(bytes: "[\(received)]")
    }
}

@Suite struct TunnelTests {
    @Test func `a WebSocket is relayed both ways, first frame and all`() async throws {
        let backend = try await webSocketBackend()
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        try await withGateway(directory) { address in
            let answer = try await DialogueClient(address).run([
                (handshake, "welcome"), ("\u{81}one", "[\u{81}one]"), ("two", "[two]"),
            ])
            #expect(answer.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
            #expect(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
            #expect(answer.lowercased().contains("connection: upgrade\r\n"))
            #expect(
                backend.received.contains("GET /ws?x=1 HTTP/1.1\r\n")
                    && backend.received.contains("Origin: http://h\r\n"))
            #expect(backend.received.contains("Sec-WebSocket-Protocol: chat\r\n"))
            #expect(try await eventually { backend.ended == 1 })
        }
        await backend.close()
    }

    @Test func `bytes that come with the handshake are not lost`() async throws {
        let backend = try await ScriptedBackend { received, _ in
            received.hasSuffix("early")
                ? .init(bytes: webSocketAnswer + "[early]")
                : received.hasSuffix("\r\n\r\n") ? .init(bytes: webSocketAnswer) : nil
        }
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        try await withGateway(directory) { address in
            _ = try await DialogueClient(address).run([(handshake + "early", "\r\n\r\n")]) {
                () async throws in
                #expect(try await eventually { backend.received.hasSuffix("early") })
            }
        }
        await backend.close()
    }

    @Test func `one direction may end before the other`() async throws {
        let backend = try await webSocketBackend()
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        try await withGateway(directory) { address in
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelOption(.allowRemoteHalfClosure, value: true)
                .connect(to: address) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                            wrappingChannelSynchronously: channel,
                            configuration: .init(isOutboundHalfClosureEnabled: true))
                    }
                }
            let answer = try await channel.executeThenClose { inbound, outbound in
                try await outbound.write(ByteBuffer(string: handshake))
                var received = ""
                for try await part in inbound {
                    received += String(buffer: part)
                    if received.hasSuffix("welcome") { outbound.finish() }
                }
                return received
            }
            #expect(answer.hasSuffix("welcomebye"))
        }
        await backend.close()
    }

    @Test func `a refused upgrade is an ordinary answer`() async throws {
        let backend = try await ScriptedBackend.answering("no upgrade here")
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        let answer = try await withGateway(directory) { try await RawClient($0).exchange(handshake) }
        #expect(answer.hasPrefix("HTTP/1.1 200 OK") && answer.hasSuffix("no upgrade here"))
        await backend.close()
    }

    @Test func `a change of protocol that nobody asked for is an error`() async throws {
        let backend = try await webSocketBackend()
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        try await withGateway(directory) { address in
            for fields in ["X: y", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk"] {
                let answer = try await RawClient(address).exchange(
                    "GET / HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: s-80\r\nConnection: Upgrade, HTTP2-Settings\r\n\(fields)\r\n\r\n"
                ) { $0.hasSuffix("}") }
                #expect(answer.hasPrefix("HTTP/1.1 502"))
            }
            #expect(!backend.received.contains("h2c") && !backend.received.contains("HTTP2"))
        }
        await backend.close()
    }

    @Test func `much passes a slow reader and nothing is lost`() async throws {
        let frame = String(repeating: "0123456789", count: 400_000)
        let backend = try await ScriptedBackend { received, _ in
            received.hasSuffix("\r\n\r\n") ? .init(bytes: webSocketAnswer + frame + "done", closes: true) : nil
        }
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        let answer = try await withGateway(directory) { try await RawClient($0).exchange(handshake) }
        #expect(answer.hasSuffix(frame + "done"))
        await backend.close()
    }

    @Test func `shutting down ends open tunnels`() async throws {
        let backend = try await webSocketBackend()
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        let proxied = handshake.replacing("/ws", with: "/sandboxes/s/proxy/80/ws")
        let open: @Sendable (SocketAddress, String) async throws -> Task<String, any Error> = { address, request in
            let (opened, report) = AsyncStream<Void>.makeStream()
            let client = Task {
                try await RawClient(address).exchange(request) { received in
                    if received.hasSuffix("welcome") { report.finish() }
                    return false
                }
            }
            for await _ in opened {}
            return client
        }
        let byGateway = try await withGateway(directory) { try await open($0, handshake) }
        #expect(try await byGateway.value.hasSuffix("welcome"))
        let byServer = try await withServerProxy(directory) { try await open($0, proxied) }
        #expect(try await byServer.value.hasSuffix("welcome"))
        await backend.close()
    }
}
