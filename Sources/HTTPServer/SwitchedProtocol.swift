import NIOCore
import NIOHTTP1

extension HTTPResponseWriter {
    /// Answers 101 and hands over the connection's bytes in both directions, for another protocol than HTTP (RFC 9110, section
    /// 7.8). The connection ends when the body returns, and at once when the server does.
    /// - Throws: `HTTPBodyError.clientGone`, or what the body throws.
    package func switchProtocols(
        _ headers: HTTPHeaders,
        _ body: (NIOAsyncChannelInboundStream<ByteBuffer>, NIOAsyncChannelOutboundWriter<ByteBuffer>) async throws ->
            Void
    ) async throws {
        try advance(from: .waiting, to: .finished)
        let head = HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: headers)
        let connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>
        do {
            connection = try await channel.eventLoop.flatSubmit { [self, channel] in
                guard !isClosed else { return channel.eventLoop.makeFailedFuture(HTTPBodyError.clientGone) }
                do {
                    try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
                    let handlers: [any ChannelHandler] = [EndWithServer()]
                    let connection = try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
                    let event = ProtocolUpgrade(
                        head: head, handlers: NIOLoopBound(handlers, eventLoop: channel.eventLoop))
                    return channel.triggerUserOutboundEvent(event).map { connection }
                } catch { return channel.eventLoop.makeFailedFuture(error) }
            }.get()
        } catch {
            throw HTTPBodyError.clientGone
        }
        try await connection.executeThenClose(body)
    }
}

/// Cuts a connection that no longer speaks HTTP when the server ends.
private final class EndWithServer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }
}
