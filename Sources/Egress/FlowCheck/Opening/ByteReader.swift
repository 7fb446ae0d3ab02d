/// Reads the fields of a TLS structure (RFC 8446, section 3): numbers in network order and vectors that state their
/// length. Reads past the end return nil.
struct ByteReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }
    /// The unread bytes.
    var remaining: ArraySlice<UInt8> { rest }

    mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    /// - Parameter bytes: 1 to 4.
    mutating func number(bytes count: Int) -> Int? { take(count).map { $0.reduce(0) { $0 << 8 | Int($1) } } }

    /// A vector, preceded by its length in so many bytes.
    mutating func vector(lengthBytes count: Int) -> ByteReader? {
        number(bytes: count).flatMap { take($0) }.map { ByteReader($0) }
    }
}
