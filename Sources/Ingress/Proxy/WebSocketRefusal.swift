import HTTPWire
import COpenSSL
import FoundationEssentials
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
            headers: ["connection": "upgrade", "upgrade": "websocket", "sec-websocket-accept": Self.accept(key)])
        closeFrame = Self.frame(error)
    }

    /// `Sec-WebSocket-Accept` (RFC 6455, section 4.2.2). SHA-1 is only a fixed function here, not a protection.
    static func accept(_ key: String) -> String {
        let text = Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)
        var digest = [UInt8](repeating: 0, count: 20)
        var written: UInt32 = 0
        guard EVP_Digest(text, text.count, &digest, &written, EVP_sha1(), nil) == 1 else { return "" }
        return Data(digest).base64EncodedString()
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
