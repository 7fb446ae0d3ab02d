import HTTPServer
import NIOHTTP1
import System

/// The query of `GET /sandboxes` (docs/wire.md#list).
struct ListQuery: Hashable, Sendable {
    static let parameters = ["state", "metadata"] + PageQuery.parameters

    /// In lower case; empty for any.
    var states: Set<String> = []
    var metadata: [String: String] = [:]
    var page = PageQuery()

    /// - Throws: 422 for page numbers out of range, 400 for metadata that is not a `key=value` list.
    init(_ query: [(name: String, value: String)]) throws(APIError) {
        for (name, value) in query {
            switch name {
            case "state": states.insert(value.lowercased())
            case "metadata": metadata.merge(try Self.pairs(value)) { _, new in new }
            default: try page.take(name, value)
            }
        }
    }

    func selects(_ sandbox: Sandbox) -> Bool {
        (states.isEmpty || states.contains(sandbox.status.state.rawValue.lowercased()))
            && metadata.allSatisfy { sandbox.metadata[$0.key] == $0.value }
    }

    /// `k=v&k2=v2`, each part percent-encoded once more than the query itself.
    private static func pairs(_ text: String) throws(APIError) -> [String: String] {
        var pairs: [String: String] = [:]
        for part in text.split(separator: "&", omittingEmptySubsequences: false) where !text.isEmpty {
            let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard halves.count == 2, !halves[0].isEmpty else {
                throw APIError(
                    .badRequest, "INVALID_METADATA_FORMAT",
                    "metadata is not a list of key=value pairs joined by '&': '\(text.prefix(200))'")
            }
            pairs[PercentEncoding.decodeForm(halves[0])] = PercentEncoding.decodeForm(halves[1])
        }
        return pairs
    }
}

/// Which page of a list is wanted.
struct PageQuery: Hashable, Sendable {
    static let parameters = ["page", "pageSize"]

    var number = 1
    var size = 20

    /// Takes a parameter, if it is one of these.
    /// - Throws: 422 for what is out of range.
    mutating func take(_ name: String, _ value: String) throws(APIError) {
        switch name {
        case "page": number = try Self.number(value, name, in: 1...Int.max)
        case "pageSize": size = try Self.number(value, name, in: 1...200)
        default: break
        }
    }

    private static func number(_ text: String, _ name: String, in range: ClosedRange<Int>) throws(APIError) -> Int {
        guard let number = Int(text) else {
            throw .invalid(["query", name], "Input should be a valid integer", type: "int_parsing")
        }
        guard range.contains(number) else {
            let message =
                number < range.lowerBound
                ? "Input should be greater than or equal to \(range.lowerBound)"
                : "Input should be less than or equal to \(range.upperBound)"
            throw .invalid(["query", name], message, type: "range")
        }
        return number
    }
}
