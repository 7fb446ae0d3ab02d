import HTTPWire
import NIOCore
import NIOHTTP1

/// Accepts a WebSocket only to close it with a code (docs/wire.md#the-server-proxy), because browsers show a page the
/// close code, but not the status of a failed handshake.
struct WebSocketRefusal {
    var head: HTTPResponseHead
    var closeFrame: ByteBuffer

    /// - Returns: nil if the request is not a handshake (RFC 6455, section 4.1); then it gets an ordinary answer.
    init?(of request: HTTPRequestHead, _ error: ProxyError) {
        guard !error.closes, request.method == .GET, case .to(let name)? = try? Upgrade(request),
            name.isEqualIgnoringCase(to: "websocket"),
            let key = request.headers.first(name: "sec-websocket-key"), key.utf8.count == 24
        else { return nil }
        head = HTTPResponseHead(
            version: .http1_1, status: .switchingProtocols,
            headers: [
                "connection": "upgrade", "upgrade": "websocket", "sec-websocket-accept": WebSocketKey.accept(key),
            ])
        closeFrame = Self.frame(error)
    }

    /// 1008 if the client or the sandbox refused, 1011 if something failed.
    private static func frame(_ error: ProxyError) -> ByteBuffer {
        let code: UInt16 = error.status.code < 500 ? 1008 : 1011
        let reason = error.code.utf8.prefix(120)
        var frame = ByteBuffer()
        frame.writeInteger(UInt8(0x88))
        frame.writeInteger(UInt8(2 + reason.count))
        frame.writeInteger(code)
        frame.writeBytes(reason)
        return frame
    }
}
