import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The WebSocket of a kernel's channels. What comes is read no faster than it is consumed.
final class KernelSocket: Sendable {
    /// The longest message: a kernel that shows more at once loses its connection, not execd its memory.
    static let maxMessage = 8 << 20
    private static let maxFrames = 1024
    /// How long a server may take to open it.
    private static let patience = TimeAmount.seconds(15)
    /// How much may wait to be consumed, in bytes.
    private static let maxWaiting = 1 << 20

    private let channel: any Channel
    private let waiting = Mutex(0)

    private init(_ channel: any Channel) { self.channel = channel }

    /// - Parameters:
    ///   - receive: called for each message, in order, on the connection's loop.
    ///   - closed: called once, when no more comes.
    static func connect(
        _ client: JupyterClient, _ path: String, receive: @escaping @Sendable (JupyterMessage) -> Void,
        closed: @escaping @Sendable () -> Void
    ) async throws -> KernelSocket {
        let failure = JupyterClient.CallError(description: "the Jupyter server does not let execd speak to the kernel")
        var headers = client.headers
        headers.add(name: "content-length", value: "0")
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: client.server.base + path, headers: headers)
        let upgraded = try await ClientBootstrap(group: client.group).connectTimeout(.seconds(2))
            .connect(host: "127.0.0.1", port: client.server.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let upgrader = NIOTypedWebSocketClientUpgrader<Bool>(maxFrameSize: maxMessage) { channel, _ in
                        channel.eventLoop.makeCompletedFuture {
                            let pipeline = channel.pipeline.syncOperations
                            try pipeline.addHandler(
                                NIOWebSocketFrameAggregator(
                                    minNonFinalFragmentSize: 0, maxAccumulatedFrameCount: maxFrames,
                                    maxAccumulatedFrameSize: maxMessage))
                            try pipeline.addHandler(Receiver(receive: receive, closed: closed))
                            return true
                        }
                    }
                    let upgrade = NIOTypedHTTPClientUpgradeConfiguration(
                        upgradeRequestHead: head, upgraders: [upgrader],
                        notUpgradingCompletionHandler: { $0.eventLoop.makeSucceededFuture(false) })
                    var configuration = NIOUpgradableHTTPClientPipelineConfiguration(upgradeConfiguration: upgrade)
                    // What comes together with the server's answer is the first of the messages.
                    configuration.leftOverBytesStrategy = .forwardBytes
                    let negotiation = try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(
                        configuration: configuration)
                    let deadline = channel.eventLoop.scheduleTask(in: patience) { channel.close(promise: nil) }
                    negotiation.whenComplete { _ in deadline.cancel() }
                    return negotiation.map { (channel, $0) }
                }
            }
        let (channel, isWebSocket) = try await upgraded.get()
        guard isWebSocket else {
            channel.close(promise: nil)
            throw failure
        }
        return KernelSocket(channel)
    }

    func send(_ text: [UInt8]) {
        let frame = WebSocketFrame(fin: true, opcode: .text, maskKey: .random(), data: ByteBuffer(bytes: text))
        channel.writeAndFlush(frame, promise: nil)
    }

    /// Does nothing yet: on the connection's own loop it would be told of as closed before this returns, to a caller that
    /// may hold a lock.
    func close() {
        let channel = channel
        channel.eventLoop.execute { channel.close(promise: nil) }
    }

    func produced(_ bytes: Int) {
        let isFull = waiting.withLock { waiting in
            let wasFull = waiting > Self.maxWaiting
            waiting += bytes
            return !wasFull && waiting > Self.maxWaiting
        }
        if isFull { channel.setOption(.autoRead, value: false).whenFailure { _ in } }
    }

    func consumed(_ bytes: Int) {
        let hasRoom = waiting.withLock { waiting in
            let wasFull = waiting > Self.maxWaiting
            waiting -= bytes
            return wasFull && waiting <= Self.maxWaiting
        }
        if hasRoom { channel.setOption(.autoRead, value: true).whenFailure { _ in } }
    }

    private final class Receiver: ChannelInboundHandler {
        typealias InboundIn = WebSocketFrame
        typealias OutboundOut = WebSocketFrame

        private let receive: @Sendable (JupyterMessage) -> Void
        private let closed: @Sendable () -> Void

        init(receive: @escaping @Sendable (JupyterMessage) -> Void, closed: @escaping @Sendable () -> Void) {
            self.receive = receive
            self.closed = closed
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let frame = unwrapInboundIn(data)
            switch frame.opcode {
            case .text:
                if let message = JupyterMessage(text: Array(frame.unmaskedData.readableBytesView)) { receive(message) }
            case .binary:
                if let message = JupyterMessage(binary: Array(frame.unmaskedData.readableBytesView)) {
                    receive(message)
                }
            case .ping:
                context.writeAndFlush(
                    wrapOutboundOut(
                        WebSocketFrame(fin: true, opcode: .pong, maskKey: .random(), data: frame.unmaskedData)),
                    promise: nil)
            case .connectionClose: context.close(promise: nil)
            default: break
            }
        }

        /// A Jupyter server sends the few small messages of a run one by one, each only when the one before has been
        /// acknowledged (tornado leaves Nagle's algorithm on). The kernel forgets the option after a while (tcp(7)).
        func channelReadComplete(context: ChannelHandlerContext) {
            let quick = ChannelOptions.Types.SocketOption(
                level: .tcp, name: NIOBSDSocket.Option(rawValue: TCP_QUICKACK))
            context.channel.setOption(quick, value: 1).whenFailure { _ in }
            context.fireChannelReadComplete()
        }

        func channelInactive(context: ChannelHandlerContext) { closed() }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
