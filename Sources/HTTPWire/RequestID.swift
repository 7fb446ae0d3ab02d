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

    private static func new() -> String {
        let digits = String(UInt128.random(in: 0 ... .max), radix: 16)
        return String(repeating: "0", count: 32 - digits.count) + digits
    }
}
