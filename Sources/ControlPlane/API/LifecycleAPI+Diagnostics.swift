import HTTPServer
import NIOHTTP1
import Runtimes
import SafeText

/// What `GET /sandboxes/{id}/diagnostics/{logs,events}?scope=` answers (docs/wire.md#diagnostics).
private struct DiagnosticContent: Encodable, Sendable {
    var sandboxId: String
    var kind: String
    var scope: String
    var delivery = "inline"
    var contentType = "text/plain; charset=utf-8"
    var content: String
    var contentLength: Int
    var truncated: Bool
}

extension LifecycleAPI {
    private static let maxLines = 100
    private static let maxEvents = 50
    /// How many bytes of a sandbox's output are read.
    private static let logBytes = 256 << 10

    func diagnostics(_ id: String, _ kind: String, _ request: HTTPRequest) async throws(APIError) -> Reply {
        let scopes = ["logs": ["container", "all"], "events": ["runtime", "all"], "inspect": [], "summary": []]
        guard let allowed = scopes[kind] else { throw .unknownRoute }
        // Also for a sandbox that is being deleted, to show why that takes so long.
        let left = service.runtime.leftovers.filter { $0.sandbox == id }.map(\.description)
        guard let sandbox = service.catalog[id] else {
            guard kind == "summary", !left.isEmpty else { throw service.unknownSandbox(id) }
            return .text(.ok, (["Sandbox \(id)", "", "Deleted; not removed yet"] + left).joined(separator: "\n"))
        }
        let scope = request.query("scope")
        if let scope, !allowed.isEmpty, !allowed.contains(scope) {
            throw .parameter("scope '\(scope.prefix(40))' is unknown; use \(allowed.joined(separator: " or "))")
        }
        try check(request, parameters: ["scope", "tail", "limit", "event_limit", "since", "container"])
        try Self.refuseSelections(request)
        let tail = try Self.count(request.query("tail"), "tail") ?? Self.maxLines
        // The parameter has this name for a summary.
        let name = kind == "summary" ? "event_limit" : "limit"
        let limit = try Self.count(request.query(name), name) ?? Self.maxEvents
        let lines: [String]
        switch kind {
        case "logs": lines = await Self.lines(service.runtime.logTail(of: id, bytes: Self.logBytes))
        case "events": lines = Self.events(sandbox)
        case "inspect": lines = [String(decoding: Reply.json(.ok, SandboxView(sandbox)).bytes, as: UTF8.self)]
        default:
            let output = await Self.lines(service.runtime.logTail(of: id, bytes: Self.logBytes)).suffix(tail)
            lines =
                [
                    "Sandbox \(id)", "Image \(sandbox.image)",
                    "Isolation \(await service.runtime.isolation(of: id))", "", "Events",
                ] + Self.events(sandbox).suffix(limit)
                + (left.isEmpty ? [] : ["", "Not removed yet"] + left) + ["", "Output"] + output
        }
        let most = kind == "logs" ? tail : kind == "events" ? limit : .max
        let text = lines.suffix(most).joined(separator: "\n")
        guard let scope, !allowed.isEmpty else {
            return .text(.ok, text, headers: allowed.isEmpty ? [:] : ["Deprecation": "true"])
        }
        return .json(
            .ok,
            DiagnosticContent(
                sandboxId: id, kind: kind, scope: scope, content: text, contentLength: text.utf8.count,
                truncated: lines.count > most))
    }

    /// Refuses what would have to choose among lines by what they do not say: nobody should take all of the output for
    /// that of the last minutes, or of another container.
    private static func refuseSelections(_ request: HTTPRequest) throws(APIError) {
        if request.query("since") != nil {
            throw .parameter("since: a sandbox's output has no times here; use tail, the number of last lines")
        }
        if let name = request.query("container"), name != onlyContainer {
            throw .parameter(
                "container: '\(name.prefix(40))' is unknown; a sandbox has one container here, '\(onlyContainer)'")
        }
    }

    /// The contract's name for the container that a user's programs are in.
    private static let onlyContainer = "sandbox"

    /// Escaped, because people read this in terminals.
    private static func lines(_ text: String) -> [String] { ForeignText.escapedLines(text) }

    private static func events(_ sandbox: Sandbox) -> [String] {
        // The last one's message may have been set later.
        (sandbox.history.dropLast() + [sandbox.status]).map { status in
            "\(status.since) \(status.state.rawValue) \(status.reason)"
                + (status.message.isEmpty ? "" : ": \(status.message)")
        }
    }

    private static func count(_ text: String?, _ name: String) throws(APIError) -> Int? {
        guard let text else { return nil }
        guard let number = Int(text), (1...10_000).contains(number) else {
            throw .invalid(["query", name], "Input should be an integer from 1 to 10000", type: "int_parsing")
        }
        return number
    }
}
