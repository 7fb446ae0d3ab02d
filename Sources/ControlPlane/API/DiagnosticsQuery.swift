import HTTPServer
import NIOHTTP1

/// The query of `GET /sandboxes/{id}/diagnostics/{kind}`, checked (docs/wire.md#diagnostics).
struct DiagnosticsQuery: Hashable, Sendable {
    enum Kind: String, CaseIterable, Sendable {
        case logs, events, inspect, summary

        /// The selections of the structured form; none where there is only text.
        fileprivate var scopes: [String] {
            switch self {
            case .logs: ["container", "all"]
            case .events: ["runtime", "lifecycle", "all"]
            case .inspect, .summary: []
            }
        }
    }

    let kind: Kind
    /// In lower case; nil where text for people is asked for.
    let scope: String?
    /// The most lines of output, and the most events; the last ones are kept.
    let lines: Int
    let events: Int
    /// How far back events or output are shown, in seconds; nil for all.
    let since: Int?

    static let parameters = ["scope", "tail", "limit", "event_limit", "since", "container"]
    private static let maxLines = 1...10_000
    private static let maxEvents = 1...500
    /// The contract's name for the container that a user's programs are in.
    private static let onlyContainer = "sandbox"

    init(_ kind: Kind, _ query: [(name: String, value: String)]) throws(APIError) {
        func value(_ name: String) -> String? { query.first { $0.name == name }?.value }
        self.kind = kind
        let isSummary = kind == .summary
        scope = try value("scope").flatMap { (text) throws(APIError) in try Self.scope(text, kind) }
        lines = try Self.count(value("tail"), "tail", in: Self.maxLines) ?? (isSummary ? 50 : 100)
        // The parameter has another name for a summary.
        let name = isSummary ? "event_limit" : "limit"
        events = try Self.count(value(name), name, in: Self.maxEvents) ?? (isSummary ? 20 : 50)
        since = try value("since").map { (text) throws(APIError) in try Self.seconds(text, kind) }
        // Nobody should take this container's output for another one's.
        if let name = value("container"), name != Self.onlyContainer {
            throw .parameter(
                "container: '\(name.prefix(40))' is unknown; a sandbox has one container here, '\(Self.onlyContainer)'")
        }
    }

    private static func scope(_ text: String, _ kind: Kind) throws(APIError) -> String? {
        guard !kind.scopes.isEmpty else { return nil }
        let scope = text.lowercased()
        guard kind.scopes.contains(scope) else {
            throw APIError(
                .badRequest, "DIAGNOSTICS_SCOPE_UNSUPPORTED",
                "scope '\(text.prefix(40))' is unknown; use \(kind.scopes.joined(separator: ", "))")
        }
        return scope
    }

    private static func count(_ text: String?, _ name: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let text else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw .invalid(
                ["query", name], "Input should be an integer from \(range.lowerBound) to \(range.upperBound)",
                type: "int_parsing")
        }
        return number
    }

    /// `90s`, `10m`, `1h`, `7d`. Nobody should take all of an answer for that of the last minutes, so it is refused where it
    /// says nothing.
    private static func seconds(_ text: String, _ kind: Kind) throws(APIError) -> Int {
        guard [.events, .logs].contains(kind) else {
            throw .parameter("since applies to logs and events only; leave it out")
        }
        guard let seconds = DurationText.seconds(text) else {
            throw .parameter("since '\(text.prefix(40))' is not a duration: write 90s, 10m, 1h or 7d")
        }
        return seconds
    }
}
