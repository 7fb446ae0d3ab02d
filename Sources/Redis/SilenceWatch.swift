import NIOCore

/// Closes a connection behind an `IdleStateHandler` when it has been silent for too long, because a peer that vanishes does not close
/// it.
package final class SilenceWatch: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer

    private let error: any Error

    /// - Parameter error: what those who wait for the peer get.
    package init(_ error: any Error) { self.error = error }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is IdleStateHandler.IdleStateEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        context.fireErrorCaught(error)
        context.close(promise: nil)
    }
}
