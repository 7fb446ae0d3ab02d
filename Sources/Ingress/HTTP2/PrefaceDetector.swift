import HTTPWire
import NIOCore

/// The only handler of a connection without TLS until it is clear whether the client uses HTTP/2 from the first byte
/// ("prior knowledge"). Then it adds the right handlers and removes itself. Bytes that could be either are held.
final class PrefaceDetector: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let limits: ProxyLimits
    private let decided: (any Channel, _ isHTTP2: Bool) throws -> Void
    private var preface = ConnectionPreface()
    private var held: ByteBuffer?
    private var context: ChannelHandlerContext?
    private lazy var deadline = context.map { context in
        Deadline(context.eventLoop) { [weak self] in self?.context?.close(promise: nil) }
    }

    /// - Parameter decided: adds the handlers of the protocol.
    init(limits: ProxyLimits, decided: @escaping (any Channel, _ isHTTP2: Bool) throws -> Void) {
        self.limits = limits
        self.decided = decided
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        deadline?.set(limits.keepAliveTimeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.clear()
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        let verdict = bytes.withUnsafeReadableBytes { preface.read($0) }
        if var first = held {
            first.writeBuffer(&bytes)
            bytes = first
        }
        guard verdict != .undecided else {
            if held == nil { deadline?.set(limits.headTimeout) }
            return held = bytes
        }
        held = nil
        do {
            try decided(context.channel, verdict == .http2)
            context.fireChannelRead(wrapInboundOut(bytes))
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch { context.close(promise: nil) }
    }

    /// No request has begun yet.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.clear()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
