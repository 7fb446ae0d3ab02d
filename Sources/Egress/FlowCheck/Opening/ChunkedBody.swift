/// Finds the end of a chunked body (RFC 9112, section 7.1) while it passes. Lines must end in CR LF and sizes must have
/// no extensions: what a server could read differently is refused.
struct ChunkedBody: Hashable, Sendable {
    private enum Place: Hashable {
        case size(UInt64, digits: Int)
        case sizeEnd(UInt64)
        case data(UInt64)
        case dataEnd(lineFeed: Bool)
        /// In the trailer, with its length so far.
        case trailer(Int)
        case trailerEnd(isLast: Bool)
        case end
    }

    /// The longest trailer section, in bytes.
    static let maxTrailer = 4 << 10

    private var place = Place.size(0, digits: 0)
    private var trailerBytes = 0

    var isAtEnd: Bool { place == .end }

    /// - Returns: how many of the bytes belong to the body.
    mutating func consume(_ bytes: ArraySlice<UInt8>) throws(FlowRefusal) -> Int {
        var index = bytes.startIndex
        while index < bytes.endIndex, !isAtEnd {
            if case .data(let left) = place {
                let taken = Int(min(left, UInt64(bytes.endIndex - index)))
                index += taken
                place = left == UInt64(taken) ? .dataEnd(lineFeed: false) : .data(left - UInt64(taken))
            } else {
                try step(bytes[index])
                index += 1
            }
        }
        return index - bytes.startIndex
    }

    private mutating func step(_ byte: UInt8) throws(FlowRefusal) {
        let (carriageReturn, lineFeed): (UInt8, UInt8) = (13, 10)
        switch place {
        case .size(let size, let digits):
            if let digit = Self.hexadecimal(byte), digits < 15 {
                place = .size(size << 4 | UInt64(digit), digits: digits + 1)
                return
            }
            guard byte == carriageReturn, digits > 0 else { throw Self.malformed }
            place = .sizeEnd(size)
        case .sizeEnd(let size):
            guard byte == lineFeed else { throw Self.malformed }
            place = size == 0 ? .trailer(0) : .data(size)
        case .dataEnd(let isLineFeed):
            guard byte == (isLineFeed ? lineFeed : carriageReturn) else { throw Self.malformed }
            place = isLineFeed ? .size(0, digits: 0) : .dataEnd(lineFeed: true)
        case .trailer(let length):
            trailerBytes += 1
            guard trailerBytes <= Self.maxTrailer, byte != lineFeed, byte != 0 else { throw Self.malformed }
            place = byte == carriageReturn ? .trailerEnd(isLast: length == 0) : .trailer(length + 1)
        case .trailerEnd(let isLast):
            guard byte == lineFeed else { throw Self.malformed }
            place = isLast ? .end : .trailer(0)
        case .data, .end: return
        }
    }

    private static let malformed = FlowRefusal.malformed("the HTTP request's chunks are ambiguous")

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
