import HTTPWire
import NIOCore
import NIOHTTP1

/// Requests that make the connection a WebSocket.
extension ServerConnection {
    package func triggerUserOutboundEvent(
        context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?
    ) {
        guard let upgrade = event as? ProtocolUpgrade else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        guard case .handler(let exchange) = turn, exchange.requestEnded, Self.areFields(upgrade.head.headers) else {
            context.close(promise: nil)
            promise?.fail(HTTPBodyError.clientGone)
            return
        }
        do { try make(upgrade, context) } catch {
            context.close(promise: nil)
            promise?.fail(error)
            return
        }
        promise?.succeed()
    }

    /// Answers 101 and leaves the pipeline, relays and all, to other handlers.
    private func make(_ upgrade: ProtocolUpgrade, _ context: ChannelHandlerContext) throws {
        let pipeline = context.pipeline
        encoder.write(OutgoingResponse(upgrade.head))
        flush(context: context)
        // Writing may have shown that the client is gone; what is added now would never hear of it.
        guard context.channel.isActive else { throw HTTPBodyError.clientGone }
        let early = switchProtocols()
        try pipeline.syncOperations.addHandlers(upgrade.handlers.value, position: .last)
        for relay in relays.values { pipeline.syncOperations.removeHandler(relay, promise: nil) }
        let wasQuiescing = isQuiescing, awaitsRead = readPending
        pipeline.syncOperations.removeHandler(self, promise: nil)
        for bytes in early { pipeline.syncOperations.fireChannelRead(NIOAny(bytes)) }
        if !early.isEmpty { pipeline.syncOperations.fireChannelReadComplete() }
        if wasQuiescing { pipeline.syncOperations.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
        if awaitsRead { pipeline.syncOperations.read() }
    }
}
