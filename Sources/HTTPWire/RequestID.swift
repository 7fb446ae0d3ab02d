import NIOHTTP1

/// The identifier that ties an answer to its request in everybody's logs.
package enum RequestID {
    package static let header = "x-request-id"
    private static let maxBytes = 128

    /// The client's own, where it is a printable word, else a new one: 32 hexadecimal digits.
    package static func of(_ headers: HTTPHeaders) -> String { given(headers) ?? new() }

    /// The client's own; nil where it is no printable word.
    package static func given(_ headers: HTTPHeaders) -> String? {
        guard let given = headers.first(name: header)?.drop(while: \.isWhitespace),
            (1...maxBytes).contains(given.utf8.count),
            given.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { return nil }
        return String(given)
    }

    /// Gives a request that has none a new one, so that whoever gets it next has the same.
    /// - Returns: the one that it has now.
    package static func put(into headers: inout HTTPHeaders) -> String {
        if let given = given(headers) { return given }
        let id = new()
        headers.replaceOrAdd(name: header, value: id)
        return id
    }

    private static func new() -> String { text(.random(in: 0 ... .max), .random(in: 0 ... .max)) }

    /// By hand: digits of a number of 128 bits take ten microseconds.
    fileprivate static func text(_ high: UInt64, _ low: UInt64) -> String {
        String(unsafeUninitializedCapacity: 32) { text in
            for place in 0..<32 {
                let word = place < 16 ? high : low
                let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (place & 15))) & 15
                text[place] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + (digit - 10)
            }
            return 32
        }
    }
}

/// New ids for the requests of one thread. They have to differ and are no secret: one half is the thread's, and the other is counted from a
/// start at random, since to ask the kernel for random numbers takes microseconds. By an odd step no number comes twice.
package struct RequestIDs {
    private let thread = UInt64.random(in: 0 ... .max)
    private var count = UInt64.random(in: 0 ... .max)

    package init() {}

    /// As `RequestID.of`.
    package mutating func of(_ headers: HTTPHeaders) -> String {
        if let given = RequestID.given(headers) { return given }
        count &+= 0x9e37_79b9_7f4a_7c15
        return RequestID.text(thread, count)
    }
}
