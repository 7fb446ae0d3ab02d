import NIOHTTP1

/// The identifier that ties an answer to its request in everybody's logs.
package enum RequestID {
    package static let header = "x-request-id"
    private static let maxBytes = 128

    /// The client's own, where it is a printable word, else a new one: 32 hexadecimal digits.
    package static func of(_ headers: HTTPHeaders) -> String {
        if let given = headers.first(name: header)?.drop(while: \.isWhitespace),
            (1...maxBytes).contains(given.utf8.count),
            given.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        {
            return String(given)
        }
        let digits = String(UInt128.random(in: 0 ... .max), radix: 16)
        return String(repeating: "0", count: 32 - digits.count) + digits
    }
}
