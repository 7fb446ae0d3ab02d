/// Follows the chunks of a body up to its trailers (RFC 9112, section 7.1). A chunk's header is a size and CRLF, and nothing
/// else: parsers have disagreed on where an extension ends, and nobody uses them.
package struct ChunkDecoder: Hashable, Sendable {
    package enum Step: Hashable {
        /// Behind so many bytes of framing more has to come.
        case more(skip: Int)
        /// Behind so many bytes of framing stand so many of the body.
        case data(skip: Int, count: Int)
        /// The trailers begin behind so many bytes: field lines, or the empty line at once.
        case trailers(skip: Int)
    }

    private enum State: Hashable {
        case size(digits: Int, Int)
        case sizeFeed(Int)
        case data(Int)
        case dataReturn
        case dataFeed
    }

    private var state = State.size(digits: 0, 0)

    package init() {}

    /// Reads on, as far as the next bytes of the body.
    package mutating func next(_ bytes: UnsafeRawBufferPointer) throws(HTTPMessageError) -> Step {
        var place = 0
        while place < bytes.count {
            if case .data(let left) = state {
                let taken = min(left, bytes.count - place)
                state = left > taken ? .data(left - taken) : .dataReturn
                return .data(skip: place, count: taken)
            }
            let isLast = state == .sizeFeed(0)
            guard let next = next(bytes[place]) else { throw .malformed("a chunk is malformed") }
            place += 1
            if isLast { return .trailers(skip: place) }
            state = next
        }
        return .more(skip: place)
    }

    private func next(_ byte: UInt8) -> State? {
        switch state {
        case .size(let digits, let size):
            if byte == 0x0D, digits > 0 { return .sizeFeed(size) }
            guard digits < 15, ASCII.isHexDigit(byte) else { return nil }
            let value = ASCII.isDigit(byte) ? byte - 0x30 : (byte | 0x20) - 0x61 + 10
            return .size(digits: digits + 1, size << 4 | Int(value))
        case .sizeFeed(let size): return byte == 0x0A ? .data(size) : nil
        case .dataReturn: return byte == 0x0D ? .dataFeed : nil
        case .dataFeed: return byte == 0x0A ? .size(digits: 0, 0) : nil
        case .data: return nil
        }
    }
}
