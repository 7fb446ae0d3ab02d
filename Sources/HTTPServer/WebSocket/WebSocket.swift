import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Which side of a WebSocket this one is. A client masks what it sends, and a server does not (RFC 6455, section 5.1).
enum WebSocketSide: Sendable {
    case server, client
}

/// What one WebSocket allows the other side.
package struct WebSocketLimits: Sendable {
    /// Bytes of one message, in one frame or many.
    package var maxMessage = 1 << 20
    /// How often the client is asked for a sign of life where it sends nothing.
    package var pingInterval = TimeAmount.seconds(30)
    /// How long it may neither send anything nor take what waits for it before it is cut off; looked at every
    /// `pingInterval`. While the route does not read, nothing is expected of it.
    package var maxSilence = TimeAmount.seconds(60)
    /// How long it may take to answer a close frame.
    package var closeTimeout = TimeAmount.seconds(5)

    package init() {}
}

/// A WebSocket that a route serves:
///
/// ```swift
/// api.on(.GET, "/pty/{id}/ws") { request in
///     let session = try find(request.parameters["id"])      // refused as on any other route, before the upgrade
///     return try .webSocket(request, origins: .any) { socket in
///         try await withThrowingTaskGroup { group in
///             group.addTask {
///                 for await output in session.output { try await socket.send(.binary(output)) }
///                 await socket.close(WebSocketClose(1000, "process exited"))
///             }
///             for try await message in socket.messages { await session.take(message) }
///             group.cancelAll()
///         }
///     }
/// }
/// ```
///
/// The socket is closed when the closure returns (1000) or throws (1011). What the closure asks for is slowed to what the other
/// side can take, each way: `send` returns when the kernel has taken the message, and while nobody reads `messages`, four at
/// most wait and the client is not read. So one slow client holds up nothing but the task that sends to it. Pings and close
/// frames are answered here.
package final class WebSocket: Sendable {
    /// What the client sends, in order. It ends when either side has closed, and throws `WebSocketGone` where the client has
    /// gone without a word, or the `WebSocketClose` that it has earned. To be read once, by one task.
    package let messages: WebSocketMessages
    private let channel: any Channel

    init(_ channel: any Channel, _ messages: WebSocketMessages) { (self.channel, self.messages) = (channel, messages) }

    /// Sends one message whole; messages of several tasks do not mix.
    /// - Throws: `WebSocketGone` once either side has closed.
    package func send(_ message: WebSocketMessage) async throws {
        do { try await channel.writeAndFlush(WebSocketFrame(message)).get() } catch { throw WebSocketGone() }
    }

    /// Sends a close frame, unless one has been sent, and returns when the connection has ended.
    /// - Parameter timeout: how long the client may take to read and answer it; then the connection is cut. Nil: the limits'.
    package func close(_ close: WebSocketClose = .normal, within timeout: TimeAmount? = nil) async {
        channel.triggerUserOutboundEvent(WebSocketHandler.CloseEvent(close: close, timeout: timeout), promise: nil)
        await closed()
    }

    /// Returns when the connection has ended.
    package func closed() async { try? await channel.closeFuture.get() }

    /// Calls `observer` once when the connection ends; at once if it has.
    package func whenClosed(_ observer: @escaping @Sendable () -> Void) {
        channel.closeFuture.whenComplete { _ in observer() }
    }
}

/// The client has gone, or the WebSocket has been closed.
package struct WebSocketGone: Error, Hashable {
    package init() {}
}

/// The messages of a client.
package struct WebSocketMessages: AsyncSequence, Sendable {
    typealias Producer = NIOThrowingAsyncSequenceProducer<
        WebSocketMessage, any Error, NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark, BodyFlow
    >
    let producer: Producer

    package func makeAsyncIterator() -> Iterator { Iterator(producer: producer.makeAsyncIterator()) }

    package struct Iterator: AsyncIteratorProtocol {
        let producer: Producer.AsyncIterator

        package mutating func next() async throws -> WebSocketMessage? { try await producer.next() }
    }
}

/// What becomes of a request that asks for a WebSocket and has been found right.
package struct WebSocketUpgrade: Sendable {
    package typealias Serve = @Sendable (WebSocket) async throws -> Void

    var limits: WebSocketLimits
    var serve: Serve
}

extension Reply {
    /// 101, and a WebSocket from there on. Who may ask is decided before, by the API's `admit` and by the route.
    /// - Throws: `WebSocketHandshakeError` where the request is no such handshake, or comes from a page that may not.
    package static func webSocket(
        _ request: HTTPRequest, origins: WebSocketOrigins = .sameHost, headers: HTTPHeaders = [:],
        limits: WebSocketLimits = WebSocketLimits(), _ serve: @escaping WebSocketUpgrade.Serve
    ) throws(WebSocketHandshakeError) -> Reply {
        try WebSocketHandshake.check(request, origins)
        return Reply(
            .switchingProtocols, headers: headers, body: .webSocket(WebSocketUpgrade(limits: limits, serve: serve)))
    }
}
