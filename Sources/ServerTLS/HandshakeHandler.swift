import NIOCore
import NIOTLS

/// Waits for the end of the TLS handshake and then makes way for the handlers of the protocol that it has agreed on (ALPN,
/// RFC 7301). A handshake that takes too long ends the connection.
final class HandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let timeout: TimeAmount
    private let failed: () -> Void
    private let ready: (any Channel, _ protocol: String?) throws -> Void
    private var deadline: Scheduled<Void>?
    private var hasFailed = false

    /// - Parameters:
    ///   - failed: called once where the handshake does not come to its end.
    ///   - ready: adds handlers; `nil` where client and server have agreed on no protocol.
    init(
        timeout: TimeAmount, failed: @escaping () -> Void,
        ready: @escaping (any Channel, _ protocol: String?) throws -> Void
    ) {
        self.timeout = timeout
        self.failed = failed
        self.ready = ready
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: timeout) {
            let (handler, context) = bound.value
            handler.fail(context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { context.close(promise: nil) }
        guard case .handshakeCompleted(let negotiated) = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        do {
            try ready(context.channel, negotiated)
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    /// An error before the end of the handshake means that it failed.
    func errorCaught(context: ChannelHandlerContext, error: any Error) { fail(context) }

    private func fail(_ context: ChannelHandlerContext) {
        // To close during the handshake is another error.
        if !hasFailed { failed() }
        hasFailed = true
        context.close(promise: nil)
    }
}
