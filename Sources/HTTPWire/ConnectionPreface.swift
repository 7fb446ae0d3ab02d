/// Detects whether a connection begins with the HTTP/2 preface (RFC 9113, section 3.4).
package struct ConnectionPreface {
    package enum Verdict { case undecided, http2, other }

    private static let bytes = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    private var matched = 0

    package init() {}

    /// Reads what comes next.
    package mutating func read(_ bytes: UnsafeRawBufferPointer) -> Verdict {
        for byte in bytes {
            guard byte == Self.bytes[matched] else { return .other }
            matched += 1
            if matched == Self.bytes.count { return .http2 }
        }
        return .undecided
    }
}
