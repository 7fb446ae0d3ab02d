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
    /// What `all` leaves out.
    var warnings: [String]?
}

extension LifecycleAPI {
    /// How many bytes of a sandbox's output are read.
    private static let logBytes = 256 << 10

    func diagnostics(
        _ id: String, _ kind: DiagnosticsQuery.Kind, _ request: HTTPRequest
    ) async throws(APIError) -> Reply {
        try check(request, parameters: DiagnosticsQuery.parameters)
        let query = try DiagnosticsQuery(kind, request.query)
        // Also for a sandbox that is being deleted, to show why that takes so long.
        let left = service.runtime.leftovers.filter { $0.sandbox == id }.map(\.description)
        guard let sandbox = service.catalog[id] else {
            guard kind == .summary, !left.isEmpty else { throw service.unknownSandbox(id) }
            return .text(.ok, (["Sandbox \(id)", "", "Deleted; not removed yet"] + left).joined(separator: "\n"))
        }
        switch kind {
        case .logs:
            let lines = try await output(of: id, since: query.since.map { Timestamp.now().adding(seconds: -$0) })
            return Self.reply(lines, query.lines, query, of: id, empty: "(no logs)")
        case .events:
            let since = query.since.map { Timestamp.now().adding(seconds: -$0) }
            return Self.reply(
                DiagnosticsText.events(sandbox, since: since), query.events, query, of: id, empty: "(no notable events)"
            )
        case .inspect:
            return .text(.ok, await inspect(sandbox, left).joined(separator: "\n"))
        case .summary:
            let lines = DiagnosticsText.summary(
                id, inspect: await inspect(sandbox, left),
                events: DiagnosticsText.events(sandbox).suffix(query.events),
                output: try await output(of: id).suffix(query.lines), tail: query.lines)
            return .text(.ok, lines.joined(separator: "\n"))
        }
    }

    /// Escaped, because people read this in terminals.
    /// - Throws: 400 where the runtime does not know since when there is output.
    private func output(of id: String, since: Timestamp? = nil) async throws(APIError) -> [String] {
        guard let since else {
            return ForeignText.escapedLines(await service.runtime.logTail(of: id, bytes: Self.logBytes))
        }
        guard let text = await service.runtime.logTail(of: id, bytes: Self.logBytes, since: since.seconds) else {
            throw .parameter("since: this runtime's output has no times; use tail, the number of last lines")
        }
        return ForeignText.escapedLines(text)
    }

    private func inspect(_ sandbox: Sandbox, _ leftovers: [String]) async -> [String] {
        DiagnosticsText.inspect(
            sandbox, isolation: await service.runtime.isolation(of: sandbox.id), leftovers: leftovers)
    }

    private static func reply(
        _ lines: [String], _ most: Int, _ query: DiagnosticsQuery, of id: String, empty: String
    ) -> Reply {
        let text = lines.suffix(most).joined(separator: "\n")
        guard let scope = query.scope else {
            return .text(.ok, text.isEmpty ? empty : text, headers: ["Deprecation": "true"])
        }
        let warnings =
            scope == "all" ? ["\(query.kind.rawValue) of other kinds than a sandbox's own are not kept here."] : nil
        return .json(
            .ok,
            DiagnosticContent(
                sandboxId: id, kind: query.kind.rawValue, scope: scope, content: text, contentLength: text.utf8.count,
                truncated: lines.count > most, warnings: warnings))
    }
}
