import HTTPWire
import NIOCore
import NIOHTTP1

/// The proxy's limits for clients and sandboxes.
package struct ProxyLimits: Sendable {
    /// Limits of a request head.
    package var head = RequestHeadCheck()
    /// Concurrent client connections; further ones are closed at once. For the server proxy its listener does this.
    package var maxConnections = 16384
    /// From a head's first byte to its last.
    package var headTimeout = TimeAmount.seconds(10)
    /// How long a client's connection may stay idle between requests. The official client keeps its own for 30 s.
    package var keepAliveTimeout = TimeAmount.seconds(75)
    package var connectTimeout = TimeAmount.seconds(5)
    /// From the request's last byte to the response's head (docs/wire.md#the-server-proxy).
    package var responseTimeout = TimeAmount.seconds(180)
    /// In each such period, `bodyProgress` bytes of a request's body must arrive, or its end. Applies only until a
    /// response has begun, so that bidirectional streams may be slow.
    package var bodyTimeout = TimeAmount.seconds(60)
    package var bodyProgress = 4096
    /// How long a streamed response or a tunnel may be silent in both directions. A command may be silent for long.
    package var streamTimeout = TimeAmount.hours(1)
    /// How long a peer may leave sent data unread.
    package var stallTimeout = TimeAmount.seconds(60)
    /// How long a client's further data is read after an early answer.
    package var lingerTimeout = TimeAmount.seconds(5)
    /// How long an idle connection to a sandbox is kept: shorter than usual servers keep it (uvicorn and Node.js: 5 s).
    package var poolTimeout = TimeAmount.seconds(4)
    /// The same for HTTP/2, whose servers announce when they close.
    package var sessionTimeout = TimeAmount.seconds(30)
    /// Idle connections per address and event loop: as many as a few HTTP/2 clients can keep busy.
    package var poolSize = 512
    /// Idle connections per event loop.
    package var poolTotal = 4096

    /// Limits for HTTP/2.
    package var http2 = HTTP2Limits()

    package init() {}

    func checkHead(_ request: inout HTTPRequestHead) throws(ProxyError) {
        do throws(HTTPMessageError) { try head.check(&request) } catch { throw ProxyError(error) }
    }

    /// Refuses a body with a length beyond a limit. A body without a length is counted as it arrives.
    func checkBody(_ head: HTTPRequestHead, most maxBody: Int?) throws(ProxyError) {
        guard let maxBody, let text = head.headers.first(name: "content-length"), let length = Int(text) else { return }
        guard length <= maxBody else { throw .bodyTooLarge(maxBody) }
    }
}
