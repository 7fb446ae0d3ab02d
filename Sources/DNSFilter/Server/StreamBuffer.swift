/// Cuts a TCP stream into DNS messages: two bytes of length, then the message (RFC 1035, section 4.2.2).
struct StreamBuffer: Sendable {
    private var bytes: [UInt8] = []
    private var start = 0

    /// Bytes received and not handed out yet.
    var pendingBytes: Int { bytes.count - start }

    mutating func append(_ received: UnsafeRawBufferPointer) {
        if start > 0 {
            bytes.removeFirst(start)
            start = 0
        }
        bytes.append(contentsOf: received)
    }

    /// The next whole message, or nil until more has come.
    mutating func next() -> [UInt8]? {
        guard pendingBytes >= 2 else { return nil }
        let length = Int(bytes[start]) << 8 | Int(bytes[start + 1])
        guard pendingBytes >= 2 + length else { return nil }
        defer { start += 2 + length }
        return Array(bytes[start + 2..<start + 2 + length])
    }

    static func framed(_ message: [UInt8]) -> [UInt8] {
        [UInt8(message.count >> 8), UInt8(message.count & 0xff)] + message
    }
}
