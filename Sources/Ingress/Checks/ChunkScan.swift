#if canImport(Glibc)
    import Glibc
#endif

/// Finds the end of lines that ends with an empty one, over as many buffers as they take.
struct EmptyLineScan: Hashable, Sendable {
    private var lineLength = 0
    private var last: UInt8 = 0

    /// - Returns: how many bytes there are up to and with the empty line; nil where it is still to come.
    mutating func end(in bytes: UnsafeRawBufferPointer) -> Int? {
        var start = 0
        while start < bytes.count {
            let line = bytes.baseAddress! + start
            guard let found = memchr(line, 0x0A, bytes.count - start) else {
                lineLength += bytes.count - start
                last = bytes.last!
                return nil
            }
            let feed = UnsafeRawPointer(found) - line
            if feed > 0 { last = bytes[start + feed - 1] }
            let length = lineLength + feed
            lineLength = 0
            start += feed + 1
            if length == 0 || (length == 1 && last == 0x0D) { return start }
        }
        return nil
    }
}

/// Follows a chunked body (RFC 9112, section 7.1) and takes nothing as a chunk's header but a size and CRLF. Parsers have
/// disagreed on where an extension ends, and nobody uses them.
struct ChunkScan: Hashable, Sendable {
    enum Outcome: Hashable {
        /// Everything belongs to the body, which goes on.
        case more
        /// The body ends after so many bytes.
        case ended(Int)
        case refused
    }

    private enum State: Hashable {
        case size(digits: Int, UInt64)
        case sizeFeed(UInt64)
        case data(UInt64)
        case dataReturn
        case dataFeed
        case trailers(EmptyLineScan)
    }

    private var state = State.size(digits: 0, 0)

    mutating func read(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        var place = 0
        while place < bytes.count {
            switch state {
            case .data(let left):
                let taken = min(left, UInt64(bytes.count - place))
                place += Int(taken)
                state = left > taken ? .data(left - taken) : .dataReturn
            case .trailers(var scan):
                guard let end = scan.end(in: UnsafeRawBufferPointer(rebasing: bytes[place...])) else {
                    state = .trailers(scan)
                    return .more
                }
                return .ended(place + end)
            default:
                guard let next = next(bytes[place]) else { return .refused }
                state = next
                place += 1
            }
        }
        return .more
    }

    private func next(_ byte: UInt8) -> State? {
        switch state {
        case .size(let digits, let size):
            if byte == 0x0D, digits > 0 { return .sizeFeed(size) }
            guard digits < 15, ASCII.isHexDigit(byte) else { return nil }
            let value = ASCII.isDigit(byte) ? byte - 0x30 : (byte | 0x20) - 0x61 + 10
            return .size(digits: digits + 1, size << 4 | UInt64(value))
        case .sizeFeed(let size):
            guard byte == 0x0A else { return nil }
            return size == 0 ? .trailers(EmptyLineScan()) : .data(size)
        case .dataReturn: return byte == 0x0D ? .dataFeed : nil
        case .dataFeed: return byte == 0x0A ? .size(digits: 0, 0) : nil
        case .data, .trailers: return nil
        }
    }
}
