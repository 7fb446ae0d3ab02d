/// Reads from a server's first bytes what the client may send next.
enum ServerReply {
    /// SHA-256 of "HelloRetryRequest", the random value that makes a ServerHello a HelloRetryRequest (RFC 8446, section
    /// 4.1.3).
    private static let retryRandom: [UInt8] = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
        0x11,
        0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ]
    /// Record header, message header, version, random.
    static let helloBytes = 5 + 4 + 2 + 32
    private static let switching = Array("HTTP/1.1 101".utf8)

    /// Whether the server asks for another ClientHello; nil where more bytes are needed.
    /// - Throws: if the bytes are not a ServerHello with its random value in the first record.
    static func asksForHello(_ bytes: [UInt8]) throws(FlowRefusal) -> Bool? {
        // An alert ends the handshake.
        if let type = bytes.first, type != 22 { return false }
        guard bytes.count >= helloBytes else { return nil }
        let length = Int(bytes[3]) << 8 | Int(bytes[4])
        guard bytes[1] == 3, bytes[5] == 2, length >= helloBytes - 5 else {
            throw .malformed("the server does not begin with a ServerHello")
        }
        return bytes[11..<helloBytes].elementsEqual(retryRandom)
    }

    /// Whether an HTTP server switches protocols; nil where more bytes are needed.
    static func switchesProtocols(_ bytes: [UInt8]) -> Bool? {
        guard bytes.count >= switching.count else { return switching.starts(with: bytes) ? nil : false }
        return bytes.starts(with: switching)
    }
}
