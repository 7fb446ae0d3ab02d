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
    /// Writes on its way to the client.
    /// - Parameter connection: the context of the `ClientConnection`.
    func write(_ part: HTTPServerResponsePart, from connection: ChannelHandlerContext)
    /// What comes from now on is not looked at.
    func drop()
    /// Whether the sandbox's agreement to another protocol proves that it was meant.
    func agrees(_ head: HTTPResponseHead) -> Bool
    /// Puts a tunnel's end where it sees bytes in the place of HTTP parts.
    func insert(_ end: TunnelEnd, into channel: any Channel) throws
    /// Stops speaking HTTP. What has come beyond the request is passed to `ClientConnection`, or is in the list.
    func switchProtocols(on channel: any Channel) -> EventLoopFuture<[ByteBuffer]>
}
