import FoundationEssentials

/// The nonce of a WebSocket handshake (RFC 6455, section 4.1): it proves that an answer belongs to this handshake, and
/// is not a secret.
enum WebSocketKey {
    static func random() -> String {
        var generator = SystemRandomNumberGenerator()
        return Data((0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }).base64EncodedString()
    }
}
