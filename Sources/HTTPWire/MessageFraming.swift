import NIOHTTP1

/// What a head's fields say about where its message ends (RFC 9112, section 6), whether another follows on the connection
/// (section 9.3), and whether another protocol does.
package struct MessageFraming: Hashable, Sendable {
    package private(set) var length: Int?
    package private(set) var isChunked = false
    private var namesProtocol = false
    private var asksForUpgrade = false
    private var closes = false
    private var keeps = false

    package init() {}

    /// Another protocol is asked for, or agreed to.
    package var isUpgrade: Bool { namesProtocol && asksForUpgrade }

    /// Whether the connection goes on behind a message of this version.
    package func persists(_ version: HTTPVersion) -> Bool { !closes && (keeps || version == .http1_1) }

    /// Takes one field. Lengths and codings that two programs could read in two ways are refused: so is every coding but
    /// `chunked`, since none is ever used.
    package mutating func note(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(HTTPMessageError)
    {
        switch name.count {
        case 7 where ASCII.isEqual(name, "upgrade"): namesProtocol = true
        case 10 where ASCII.isEqual(name, "connection"):
            notePersistence(value)
            asksForUpgrade = asksForUpgrade || Self.hasOption("upgrade", value)
        // Old clients send it, and mean the same.
        case 16 where ASCII.isEqual(name, "proxy-connection"): notePersistence(value)
        case 14 where ASCII.isEqual(name, "content-length"):
            guard length == nil else { throw .malformed("there are several Content-Length fields") }
            guard let number = Self.number(value) else { throw .malformed("the Content-Length is not a number") }
            length = number
        case 17 where ASCII.isEqual(name, "transfer-encoding"):
            guard !isChunked, value.count == 7, ASCII.isEqual(value, "chunked") else {
                throw .malformed("chunked is the only transfer coding, once, in HTTP/1.1")
            }
            isChunked = true
        default: break
        }
        guard length == nil || !isChunked else {
            throw .malformed("Content-Length and Transfer-Encoding exclude each other")
        }
    }

    private mutating func notePersistence(_ value: UnsafeRawBufferPointer) {
        closes = closes || Self.hasOption("close", value)
        keeps = keeps || Self.hasOption("keep-alive", value)
    }

    /// At most 18 digits: what fits, whoever reads it.
    private static func number(_ text: UnsafeRawBufferPointer) -> Int? {
        guard (1...18).contains(text.count) else { return nil }
        var number = 0
        for byte in text {
            guard ASCII.isDigit(byte) else { return nil }
            number = number * 10 + Int(byte - 0x30)
        }
        return number
    }

    private static func hasOption(_ option: StaticString, _ list: UnsafeRawBufferPointer) -> Bool {
        if ASCII.isEqual(list, option) { return true }
        var start = 0
        while start <= list.count {
            let comma = list[start...].firstIndex(of: UInt8(ascii: ",")) ?? list.count
            var range = start..<comma
            while let first = range.first, list[first] == 0x20 || list[first] == 0x09 { range.removeFirst() }
            while let last = range.last, list[last] == 0x20 || list[last] == 0x09 { range.removeLast() }
            if ASCII.isEqual(UnsafeRawBufferPointer(rebasing: list[range]), option) { return true }
            start = comma + 1
        }
        return false
    }
}
