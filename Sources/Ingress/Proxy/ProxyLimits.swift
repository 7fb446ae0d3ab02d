import NIOCore
import NIOHTTP1

/// What the proxy allows clients and sandboxes.
public struct ProxyLimits: Sendable {
    /// What a request head may be.
    public var head = RequestHeadCheck()
    /// Connections of clients at once; one more is closed as it comes. The server proxy leaves this to its listener.
    public var maxConnections = 16384
    /// Bytes of a request's body; nil: any number, since they are passed on and not kept.
    public var maxBody: Int?
    /// From a head's first byte to its last.
    public var headTimeout = TimeAmount.seconds(10)
    /// How long a client's connection may stay unused between requests. The official client keeps its own for 30 s.
    public var keepAliveTimeout = TimeAmount.seconds(75)
    public var connectTimeout = TimeAmount.seconds(5)
    /// From the request's last byte to the response's head (contract, section 4).
    public var responseTimeout = TimeAmount.seconds(180)
    /// Within each such time `bodyProgress` bytes of a request's body have to come, or its end: as long as no response
    /// has begun, so that two who talk to each other may take their time.
    public var bodyTimeout = TimeAmount.seconds(60)
    public var bodyProgress = 4096
    /// Without a byte in either direction in a streamed response or a tunnel: a command may be silent for long.
    public var streamTimeout = TimeAmount.hours(1)
    /// How long a peer may leave what is sent to it unread.
    public var stallTimeout = TimeAmount.seconds(60)
    /// How long what a client still sends is read after an answer that came early.
    public var lingerTimeout = TimeAmount.seconds(5)
    /// How long a sandbox's connection is kept unused: shorter than servers commonly do (uvicorn and Node.js: 5 s).
    public var poolTimeout = TimeAmount.seconds(4)
    /// The same of HTTP/2, whose servers say when they close.
    public var sessionTimeout = TimeAmount.seconds(30)
    /// Unused connections kept to one address by one event loop: as many as a few connections of HTTP/2 keep busy.
    public var poolSize = 512
    /// Unused connections kept to all addresses by one event loop.
    public var poolTotal = 4096

    /// What HTTP/2 adds.
    public var http2 = HTTP2Limits()

    public init() {}

    /// Refuses a body that says that it is too large. One that does not say so is counted as it comes.
    func checkBody(_ head: HTTPRequestHead) throws(ProxyError) {
        guard let maxBody, let text = head.headers.first(name: "content-length"), let length = Int(text) else { return }
        guard length <= maxBody else { throw .bodyTooLarge(maxBody) }
    }
}
