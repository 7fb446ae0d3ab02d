import NIOHTTP1

/// Reads a status line (RFC 9112, section 4), over as many calls as it takes: `HTTP/1.1` or `HTTP/1.0`, a space, three
/// digits, and CRLF, with a space and a reason before it or not. The reason is not kept.
package struct StatusLine: Sendable {
    private enum State { case version(Int), code(Int), space, reason, feed }

    package private(set) var version = HTTPVersion.http1_1
    package private(set) var code = 0
    private var state = State.version(0)
    private let maxBytes: Int

    private static let text = Array("HTTP/1.1 ".utf8)
    private static let minor = 7

    package init(maxBytes: Int) { self.maxBytes = maxBytes }

    package mutating func restart() { self = StatusLine(maxBytes: maxBytes) }

    /// As `RequestLine.read`.
    package mutating func read(_ all: UnsafeRawBufferPointer, _ place: inout Int) throws(HTTPMessageError) -> Bool {
        let bytes = UnsafeRawBufferPointer(rebasing: all[..<min(all.count, maxBytes)])
        var at = place
        defer { place = at }
        while at < bytes.count {
            let byte = bytes[at]
            switch state {
            case .version(let count):
                if count == Self.minor {
                    guard byte == UInt8(ascii: "0") || byte == UInt8(ascii: "1") else { throw Self.malformed }
                    version = byte == UInt8(ascii: "0") ? .http1_0 : .http1_1
                } else {
                    guard byte == Self.text[count] else { throw Self.malformed }
                }
                state = count + 1 == Self.text.count ? .code(0) : .version(count + 1)
            case .code(let digits):
                guard ASCII.isDigit(byte) else { throw Self.malformed }
                code = code * 10 + Int(byte - 0x30)
                guard digits < 2 || code >= 100 else { throw Self.malformed }
                state = digits == 2 ? .space : .code(digits + 1)
            case .space:
                guard byte == 0x20 || byte == 0x0D else { throw Self.malformed }
                state = byte == 0x20 ? .reason : .feed
            case .reason:
                at = ByteScan.endOfField(in: bytes, from: at)
                guard at < bytes.count else { continue }
                guard bytes[at] == 0x0D else { throw Self.malformed }
                state = .feed
            case .feed:
                guard byte == 0x0A else { throw Self.malformed }
                at += 1
                return true
            }
            at += 1
        }
        guard all.count <= bytes.count else { throw .tooLarge }
        return false
    }

    private static let malformed = HTTPMessageError.malformed("the status line is malformed")
}
