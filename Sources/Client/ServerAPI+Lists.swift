import JSON
import System

extension ServerAPI {
    private static let pageSize = 200
    /// Pages that are read of one list, so that a server that never ends one cannot hold the program.
    private static let mostPages = 10_000

    /// All sandboxes, the newest first, page by page.
    /// - Parameters:
    ///   - states: only those in one of these; empty for any.
    ///   - labels: `NAME=VALUE`; only those with all of these.
    package func sandboxes(states: [String], labels: [String]) async throws(ClientFailure) -> [JSONValue] {
        // Each part is percent-encoded once more than the query.
        var metadata: [String] = []
        for label in labels {
            let label = try NamedValue(label, option: "--label")
            metadata.append("\(PercentEncoding.encode(label.name))=\(PercentEncoding.encode(label.value))")
        }
        let chosen: [(name: String, value: String?)] =
            states.map { ("state", $0) } + (labels.isEmpty ? [] : [("metadata", metadata.joined(separator: "&"))])
        return try await pages("/v1/sandboxes", chosen)
    }

    /// The `items` of a list in pages.
    package func pages(
        _ path: String, _ chosen: [(name: String, value: String?)]
    ) async throws(ClientFailure) -> [JSONValue] {
        var found: [JSONValue] = []
        for number in 1...Self.mostPages {
            let page: [(name: String, value: String?)] = [("page", "\(number)"), ("pageSize", "\(Self.pageSize)")]
            let answer = try await ask("GET", path + Self.query(chosen + page))
            guard case .array(let items)? = answer?["items"] else {
                throw ClientFailure(.notUnderstood, "\(origin) does not answer \(path) with a list")
            }
            found += items
            guard answer?["pagination"]?["hasNextPage"] == .boolean(true), !items.isEmpty else { return found }
        }
        return found
    }
}
