import NIOCore
import NIOHTTP1

/// What brings a client's requests and takes the responses: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.
/// `ClientConnection` stands behind it and sees the same parts either way.
protocol RequestCarrier: AnyObject {
    /// `http` or `https`: how clients reach this listener.
    var scheme: String { get }
    /// It carries one request and ends with it.
    var carriesOne: Bool { get }
    /// The request asks for a tunnel by its method: any success would be taken for one (RFC 8441, section 5).
    var asksByMethod: Bool { get }
    /// A request's head has arrived behind the carrier.
    func begins(_ head: HTTPRequestHead)
    /// What comes from now on is not looked at.
    func drop()
    /// Whether the sandbox's agreement to another protocol proves that it was meant.
    func agrees(_ head: HTTPResponseHead) -> Bool
    /// Puts a tunnel's end where it sees bytes in the place of HTTP parts.
    func insert(_ end: TunnelEnd, into channel: any Channel) throws
    /// Stops speaking HTTP. What has come beyond the request is passed to `ClientConnection`, or is in the list.
    func switchProtocols(on channel: any Channel) -> EventLoopFuture<[ByteBuffer]>
}

/// An HTTP/1.1 connection.
final class ConnectionCarrier: RequestCarrier {
    let scheme: String
    let carriesOne = false
    let asksByMethod = false
    private let chunks: ChunkGuard
    private let encoder: (any ChannelHandler)?

    /// - Parameters:
    ///   - chunks: stands in front of the decoder.
    ///   - encoder: the first handler that knows HTTP; nil where it is the first of all.
    init(scheme: String, chunks: ChunkGuard, encoder: (any ChannelHandler)? = nil) {
        self.scheme = scheme
        self.chunks = chunks
        self.encoder = encoder
    }

    func begins(_ head: HTTPRequestHead) { chunks.begins(head) }

    func drop() { chunks.drop() }

    /// The client has the key that the answer depends on.
    func agrees(_ head: HTTPResponseHead) -> Bool { true }

    func insert(_ end: TunnelEnd, into channel: any Channel) throws {
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try channel.pipeline.syncOperations.addHandler(end, position: encoder.map { .before($0) } ?? .first)
    }

    func switchProtocols(on channel: any Channel) -> EventLoopFuture<[ByteBuffer]> {
        chunks.retire()
        do {
            let operations = channel.pipeline.syncOperations
            let decoder = try operations.context(handlerType: ByteToMessageHandler<HTTPRequestDecoder>.self)
            return operations.removeHandler(context: decoder).map { [] }
        } catch { return channel.eventLoop.makeFailedFuture(error) }
    }
}
