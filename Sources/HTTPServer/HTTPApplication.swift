import HTTPWire
import NIOCore
import NIOHTTP1

/// Answers one request. It may stream; it must finish its response before it returns.
package typealias HTTPHandler = @Sendable (HTTPRequest, HTTPResponseWriter) async -> Void

/// What a server serves.
package protocol HTTPApplication: Sendable {
    /// Called on the connection's event loop, once for each request.
    func responder(to head: HTTPRequestHead) -> HTTPResponder
    /// The answer to what cannot be read as a request.
    func refusal(_ error: HTTPMessageError) -> Reply
}

/// Who answers a request.
package enum HTTPResponder: Sendable {
    case handler(HTTPHandler)
    /// The same on the connection's event loop, which it must not hold up: what it writes changes no threads.
    case loopHandler(HTTPHandler)
    case relay(any HTTPRelay)
    /// One of the others, known when what it depends on is. Until then nothing more of the request is read.
    case later(@Sendable () async -> HTTPResponder)
}

/// Answers requests part by part on the connection's event loop, with times, back-pressure and retries of its own: what
/// passes requests on to other servers, and can change the protocol.
package protocol HTTPRelay: AnyObject, Sendable {
    /// A handler for one connection, which is put behind `connection` in the pipeline when the first request for this relay
    /// has come. Called on the event loop.
    func makeHandler(on connection: ServerConnection, eventLoop: any EventLoop) -> any RelayHandler
}

/// Gets the requests of one connection that are its relay's, one at a time. It writes by `ServerConnection.write`, and calls
/// `turnEnded` when a request has come to its end and has been answered, unless it ends the connection. What cannot be read
/// comes as an error through the pipeline.
package protocol RelayHandler: RemovableChannelHandler {
    func receive(_ part: HTTPServerRequestPart)
}
