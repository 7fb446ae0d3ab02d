/// Reads a request line as RFC 9112, section 3 has it: three parts, one space between them, CRLF. The decoder behind takes
/// more: several spaces, and the protocols of streams and radio stations, whose requests would be passed on as HTTP.
struct RequestLineScan: Hashable, Sendable {
    private enum State: Hashable {
        /// Empty lines may come in front (section 2.2).
        case start, emptyLine
        case method
        case target(isEmpty: Bool)
        /// So many bytes of the version have been read.
        case version(Int)
        case feed
        case done
    }

    private var state = State.start
    private var length = 0
    private var isOurs = true

    private static let version = Array("HTTP/1.1\r".utf8)
    private static let major = 5, minor = 7

    /// - Parameter limit: bytes of the line.
    /// - Returns: why the line is refused; nil where nothing is wrong with what there is.
    mutating func read(_ bytes: UnsafeRawBufferPointer, limit: Int) -> ProxyError? {
        guard state != .done else { return nil }
        for byte in bytes {
            guard let next = next(byte) else {
                return .malformed("the request line is not a method, a target and HTTP/1.1, with one space between")
            }
            length += 1
            guard length <= limit else { return .targetTooLong }
            state = next
            if state == .feed, !isOurs { return .version }
            if state == .done { return nil }
        }
        return nil
    }

    private mutating func next(_ byte: UInt8) -> State? {
        switch state {
        case .start where byte == 0x0D: return .emptyLine
        case .emptyLine: return byte == 0x0A ? .start : nil
        case .start: return ASCII.isToken(byte) ? .method : nil
        case .method where byte == 0x20: return .target(isEmpty: true)
        case .method: return ASCII.isToken(byte) ? .method : nil
        case .target(let isEmpty) where byte == 0x20: return isEmpty ? nil : .version(0)
        case .target: return byte > 0x20 && byte != 0x7F ? .target(isEmpty: false) : nil
        case .version(let count):
            let isNumber = count == Self.major || count == Self.minor
            guard isNumber ? ASCII.isDigit(byte) : byte == Self.version[count] else { return nil }
            if count == Self.major, byte != UInt8(ascii: "1") { isOurs = false }
            if count == Self.minor, byte > UInt8(ascii: "1") { isOurs = false }
            return count + 1 == Self.version.count ? .feed : .version(count + 1)
        case .feed: return byte == 0x0A ? .done : nil
        case .done: return .done
        }
    }
}
