import HTTPWire
import NIOCore
import NIOHTTP1

/// What brings a client's requests and takes the responses: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.
/// `ClientConnection` stands behind it and sees the same parts either way.
protocol RequestCarrier: AnyObject {
    /// `http` or `https`: how clients reach this listener.
    var scheme: String { get }
    /// It carries one request and ends with it.
    var isSingleRequest: Bool { get }
    /// The request asks for a tunnel by its method: any success would be taken for one (RFC 8441, section 5).
    var asksByMethod: Bool { get }
    /// The connection serves others between the requests that are brought.
    var takesTurns: Bool { get }
    /// The request has been read to its end and answered.
    func turnEnded()
    /// Writes on its way to the client.
    /// - Parameter connection: the context of the `ClientConnection`.
    func write(_ head: consuming OutgoingResponse, from connection: ChannelHandlerContext)
    func write(_ part: BodyPart, from connection: ChannelHandlerContext)
    /// What comes from now on is not looked at.
    func drop()
    /// Whether the sandbox's agreement to another protocol proves that it was meant.
    func agrees(_ head: ReceivedResponse) -> Bool
    /// Puts a tunnel's end where it sees bytes in the place of HTTP parts.
    func insert(_ end: TunnelEnd, into channel: any Channel) throws
    /// Stops speaking HTTP. What has come beyond the request is passed to `ClientConnection`, or is in the list.
    func switchProtocols(on channel: any Channel) -> EventLoopFuture<[ByteBuffer]>
}

extension RequestCarrier {
    var takesTurns: Bool { false }
    func turnEnded() {}
}

/// Carriers that have parts of HTTP/1.1 come through the pipeline.
extension RequestCarrier {
    func write(_ head: consuming OutgoingResponse, from connection: ChannelHandlerContext) {
        connection.write(NIOAny(HTTPServerResponsePart.head(head.head)), promise: nil)
    }

    func write(_ part: BodyPart, from connection: ChannelHandlerContext) {
        let part: HTTPServerResponsePart =
            switch part {
            case .bytes(let bytes): .body(.byteBuffer(bytes))
            case .end(let trailers): .end(trailers)
            }
        connection.write(NIOAny(part), promise: nil)
    }
}
