/// Why a WebSocket ends: the code and the reason of a close frame (RFC 6455, section 7.4).
package struct WebSocketClose: Error, Hashable, Sendable, CustomStringConvertible {
    package var code: UInt16
    /// UTF-8 of at most 123 bytes; what is longer is cut when it is sent.
    package var reason: String

    package init(_ code: UInt16, _ reason: String = "") { (self.code, self.reason) = (code, reason) }

    package static let normal = WebSocketClose(1000)
    /// The server ends.
    package static let goingAway = WebSocketClose(1001, "going away")
    package static let serverError = WebSocketClose(1011, "server error")
    static func protocolError(_ reason: String) -> WebSocketClose { WebSocketClose(1002, reason) }
    static let notUTF8 = WebSocketClose(1007, "a text is not UTF-8")
    static func tooLarge(limit: Int) -> WebSocketClose {
        WebSocketClose(1009, "a message is larger than \(limit) bytes")
    }
    /// What a close frame without a code means; it is never sent.
    static let noCode = WebSocketClose(1005)

    /// Whether a close frame may have this code.
    static func isValid(_ code: UInt16) -> Bool {
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }

    package var description: String { reason.isEmpty ? "\(code)" : "\(code) \(reason)" }
}
