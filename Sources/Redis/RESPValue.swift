/// A value of the Redis serialization protocol, version 2 (RESP2).
package enum RESPValue: Hashable, Sendable {
    case simple(String)
    case error(String)
    case integer(Int64)
    /// nil: the null bulk string.
    case bulk([UInt8]?)
    /// nil: the null array, which a blocking command returns when its time is up.
    case array([RESPValue]?)

    /// A command as clients send it: an array of bulk strings.
    package static func command(_ words: [String]) -> [UInt8] {
        var bytes = Array("*\(words.count)\r\n".utf8)
        for word in words {
            bytes += "$\(word.utf8.count)\r\n".utf8
            bytes += word.utf8
            bytes += [13, 10]
        }
        return bytes
    }
}

package enum RESPError: Error, Hashable, Sendable {
    case malformed
    /// A string, an array or a depth beyond what is read.
    case tooLarge
}

/// Parses values from a stream of bytes. Bytes that are not RESP2 end the stream.
package struct RESPReader: Sendable {
    private var bytes: [UInt8] = []
    private let maxString: Int
    private let maxElements: Int

    private static let deepest = 4
    /// The longest line: a type, a number or a short text.
    private static let maxLine = 64 << 10

    /// - Parameters:
    ///   - maxString: bytes of one bulk string.
    ///   - maxElements: elements of one array.
    package init(maxString: Int = 1 << 20, maxElements: Int = 1024) {
        self.maxString = maxString
        self.maxElements = maxElements
    }

    package mutating func append(_ more: some Sequence<UInt8>) { bytes += more }

    /// The next value; nil if more bytes are needed.
    /// - Throws: `RESPError`; then the stream cannot be read any further.
    package mutating func next() throws(RESPError) -> RESPValue? {
        var place = 0
        guard let value = try read(&place, depth: 0) else { return nil }
        bytes.removeFirst(place)
        return value
    }

    private func read(_ place: inout Int, depth: Int) throws(RESPError) -> RESPValue? {
        guard depth < Self.deepest else { throw .tooLarge }
        guard let line = try line(&place) else { return nil }
        guard let type = line.first else { throw .malformed }
        let rest = line.dropFirst()
        switch type {
        case UInt8(ascii: "+"): return .simple(String(decoding: rest, as: UTF8.self))
        case UInt8(ascii: "-"): return .error(String(decoding: rest, as: UTF8.self))
        case UInt8(ascii: ":"): return .integer(try Self.number(rest))
        case UInt8(ascii: "$"):
            let length = try Self.number(rest)
            guard length >= 0 else {
                guard length == -1 else { throw .malformed }
                return .bulk(nil)
            }
            guard length <= maxString else { throw .tooLarge }
            let end = place + Int(length)
            guard bytes.count >= end + 2 else { return nil }
            guard bytes[end] == 13, bytes[end + 1] == 10 else { throw .malformed }
            defer { place = end + 2 }
            return .bulk(Array(bytes[place..<end]))
        case UInt8(ascii: "*"):
            let count = try Self.number(rest)
            guard count >= 0 else {
                guard count == -1 else { throw .malformed }
                return .array(nil)
            }
            guard count <= maxElements else { throw .tooLarge }
            var elements: [RESPValue] = []
            for _ in 0..<count {
                guard let element = try read(&place, depth: depth + 1) else { return nil }
                elements.append(element)
            }
            return .array(elements)
        default: throw .malformed
        }
    }

    /// A line without its end.
    private func line(_ place: inout Int) throws(RESPError) -> ArraySlice<UInt8>? {
        guard let end = bytes[place...].firstIndex(of: 10) else {
            guard bytes.count - place <= Self.maxLine else { throw .tooLarge }
            return nil
        }
        guard end > place, bytes[end - 1] == 13 else { throw .malformed }
        defer { place = end + 1 }
        return bytes[place..<end - 1]
    }

    private static func number(_ text: ArraySlice<UInt8>) throws(RESPError) -> Int64 {
        guard (1...20).contains(text.count), let number = Int64(String(decoding: text, as: UTF8.self)),
            text.first != UInt8(ascii: "+")
        else { throw .malformed }
        return number
    }
}
