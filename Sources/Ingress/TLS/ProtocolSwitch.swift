import NIOCore
import NIOTLS

/// Adds the handlers of the protocol that the TLS handshake has agreed on (ALPN, RFC 7301). A handshake that takes too
/// long ends the connection.
final class ProtocolSwitch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let timeout: TimeAmount
    private let configure: (any Channel, _ isHTTP2: Bool) throws -> Void
    private var context: ChannelHandlerContext?
    private lazy var deadline = context.map { context in
        Deadline(context.eventLoop) { [weak self] in
            IngressMetrics.handshakeFailed()
            self?.context?.close(promise: nil)
        }
    }

    init(timeout: TimeAmount, configure: @escaping (any Channel, _ isHTTP2: Bool) throws -> Void) {
        self.timeout = timeout
        self.configure = configure
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        deadline?.set(timeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.clear()
        self.context = nil
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { context.close(promise: nil) }
        guard case .handshakeCompleted(let negotiated) = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        do {
            try configure(context.channel, negotiated == "h2")
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.clear()
        context.fireChannelInactive()
    }

    /// An error before the end of the handshake means that it failed.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        IngressMetrics.handshakeFailed()
        context.close(promise: nil)
    }
}
