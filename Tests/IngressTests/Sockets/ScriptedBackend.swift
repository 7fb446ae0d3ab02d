import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// A sandbox that the test writes byte for byte: what has come on a connection so far goes in, what is to be sent comes
/// out.
final class ScriptedBackend: Sendable {
    struct Reply: Sendable {
        var bytes: String
        var closes = false
    }

    /// - Parameters:
    ///   - received: the bytes of this connection that no reply has been given for.
    ///   - connection: counted from 1.
    typealias Script = @Sendable (_ received: String, _ connection: Int) -> Reply?

    private struct State {
        var connections = 0
        var received = ""
        var ended = 0
    }

    private let state = NIOLockedValueBox(State())
    private let listener: any Channel

    var address: SocketAddress { listener.localAddress! }
    var connections: Int { state.withLockedValue { $0.connections } }
    /// Connections that have ended.
    var ended: Int { state.withLockedValue { $0.ended } }
    /// Everything that has come.
    var received: String { state.withLockedValue { $0.received } }

    init(_ script: @escaping Script) async throws {
        let state = self.state
        listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let number = state.withLockedValue { state in
                        state.connections += 1
                        return state.connections
                    }
                    let handler = Handler(number: number, script: script) { text in
                        state.withLockedValue { $0.received += text }
                    }
                    try channel.pipeline.syncOperations.addHandler(handler)
                    channel.closeFuture.whenComplete { _ in state.withLockedValue { $0.ended += 1 } }
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    /// Answers each request without a body with the text.
    static func answering(_ text: String) async throws -> ScriptedBackend {
        try await ScriptedBackend { received, _ in
            guard received.hasSuffix("\r\n\r\n") else { return nil }
            return Reply(bytes: "HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
        }
    }

    func close() async { try? await listener.close() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let number: Int
        private let script: Script
        private let note: @Sendable (String) -> Void
        private var pending = ""

        init(number: Int, script: @escaping Script, note: @escaping @Sendable (String) -> Void) {
            self.number = number
            self.script = script
            self.note = note
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let text = String(buffer: unwrapInboundIn(data))
            note(text)
            pending += text
            reply(context)
        }

        /// The end of the client's direction reads as "<end>"; without a reply to it the connection ends.
        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            guard event as? ChannelEvent == .inputClosed else { return }
            note("<end>")
            pending += "<end>"
            if !reply(context) { context.close(promise: nil) }
        }

        @discardableResult private func reply(_ context: ChannelHandlerContext) -> Bool {
            guard let reply = script(pending, number) else { return false }
            pending = ""
            let bytes = wrapOutboundOut(ByteBuffer(string: reply.bytes))
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            context.writeAndFlush(bytes).whenComplete { _ in
                if reply.closes { bound.value.close(promise: nil) }
            }
            return true
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
