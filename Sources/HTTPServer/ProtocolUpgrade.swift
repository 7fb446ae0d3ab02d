import HTTPWire
import NIOCore
import NIOHTTP1

/// Asks a connection to answer its request with 101, and to leave what comes behind it to other handlers.
struct ProtocolUpgrade: Sendable {
    let head: HTTPResponseHead
    /// In the pipeline's order.
    let handlers: NIOLoopBound<[any ChannelHandler]>
}

extension HTTPResponseWriter {
    /// Makes the connection a WebSocket and serves it to its end.
    /// - Throws: `HTTPBodyError.clientGone`, or what the route throws.
    func serve(_ upgrade: WebSocketUpgrade, _ headers: HTTPHeaders) async throws {
        let socket = try await start(upgrade, headers)
        do {
            try await upgrade.serve(socket)
            await socket.close()
        } catch is WebSocketGone {
            // Who sent or read has learnt that it is over: so it is.
            await socket.close()
        } catch let close as WebSocketClose {
            await socket.close(close)
        } catch {
            await socket.close(.serverError)
            throw error
        }
    }

    private func start(_ upgrade: WebSocketUpgrade, _ headers: HTTPHeaders) async throws -> WebSocket {
        try advance(from: .waiting, to: .finished)
        var headers = headers
        headers.replaceOrAdd(name: "upgrade", value: "websocket")
        headers.replaceOrAdd(name: "connection", value: "upgrade")
        let key = request.headers.first(name: "sec-websocket-key") ?? ""
        headers.replaceOrAdd(name: "sec-websocket-accept", value: WebSocketKey.accept(key))
        let head = HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: headers)
        do {
            return try await channel.eventLoop.flatSubmit { [self, channel] in
                // The client may have gone before this was its loop's turn.
                guard !isClosed else { return channel.eventLoop.makeFailedFuture(HTTPBodyError.clientGone) }
                let (socket, handlers) = WebSocketHandler.make(channel, upgrade.limits)
                let event = ProtocolUpgrade(
                    head: head, handlers: NIOLoopBound(handlers, eventLoop: channel.eventLoop))
                return channel.triggerUserOutboundEvent(event).map { socket }
            }.get()
        } catch {
            throw HTTPBodyError.clientGone
        }
    }
}
