import NIOHTTP1

/// What `GET /ready` answers.
package struct ReadyAnswer: Encodable, Sendable {
    private struct Check: Encodable, Sendable {
        var name: String
        var ready: Bool
        var problem: String?
    }

    private let status: String
    private let checks: [Check]?

    /// - Parameter showsChecks: what is wrong is for those who may know it; whoever balances load needs the status alone.
    package init(_ findings: [Readiness.Finding], showsChecks: Bool) {
        status = findings.allSatisfy { $0.problem == nil } ? "ready" : "unready"
        checks =
            showsChecks ? findings.map { Check(name: $0.name, ready: $0.problem == nil, problem: $0.problem) } : nil
    }

    private enum CodingKeys: String, CodingKey { case status, checks }

    package var reply: Reply {
        .json(status == "ready" ? .ok : .serviceUnavailable, self, headers: ["cache-control": "no-store"])
    }
}
