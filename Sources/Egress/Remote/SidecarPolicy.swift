import Egress
import HTTPClient
import HTTPServer
import JSON
import NetworkPolicy

/// The guard of one sandbox that stands beside it, in its pod or in a container of its own: asked over its `/policy`.
///
/// It is the contract's policy API, so that it need not be a guard of ours.
package struct SidecarPolicy: EgressController {
    private let sandbox: String
    private let client: GuardHTTPClient
    private let presets: Presets

    /// - Parameters:
    ///   - sandbox: the one that it guards.
    ///   - host: a literal address.
    ///   - presets: what its answers may name, where clients of its own have put them there.
    package init(of sandbox: String, host: String, port: Int, token: String, presets: Presets = .none) {
        self.sandbox = sandbox
        self.presets = presets
        client = GuardHTTPClient(address: .tcp(host: host, port: port), token: token, timeoutMilliseconds: 10_000)
    }

    package func guards(_ id: String) async -> Bool { id == sandbox }

    package func status(_ id: String) async throws(EgressError) -> PolicyStatus { try await call("GET", id) }

    @discardableResult
    package func replace(_ id: String, with policy: Policy) async throws(EgressError) -> PolicyStatus {
        try await call("PUT", id, policy.encodedJSON(.plain))
    }

    @discardableResult
    package func patch(_ id: String, _ rules: [Rule]) async throws(EgressError) -> PolicyStatus {
        try await call("PATCH", id, Policy.encodeRules(rules, .plain))
    }

    @discardableResult
    package func removeRules(_ id: String, _ targets: [RuleSelector]) async throws(EgressError) -> PolicyStatus {
        var texts: [JSONValue] = []
        for target in targets { texts += try atSidecar(target).map { .string($0.description) } }
        return try await call("DELETE", id, JSONValue.array(texts).encoded)
    }

    /// A sidecar is sent the rules of a preset, not its name, so it can only remove them one by one.
    private func atSidecar(_ selector: RuleSelector) throws(EgressError) -> [RuleSelector] {
        guard case .preset(let name) = selector else { return [selector] }
        do throws(PolicyError) {
            return try presets.rules(named: name).map { .traffic(RuleTarget($0.target, $0.scope)) }
        } catch {
            throw .invalidPolicy("\(error)")
        }
    }

    package func token(of id: String) async throws(EgressError) -> String {
        guard id == sandbox, let token = client.token else { throw .notGuarded(id) }
        return token
    }

    private func call(_ method: String, _ id: String, _ body: [UInt8]? = nil) async throws(EgressError) -> PolicyStatus
    {
        guard id == sandbox else { throw .notGuarded(id) }
        let response = try await client.call(method, "/policy", body: body, of: id)
        return try PolicyStatus(decoding: response.body, form: .contract, presets: presets)
    }
}

/// A sidecar of somebody else's has no such routes, and says 404.
extension SidecarPolicy: EgressQuestions {
    package func explained(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> [UInt8] {
        try await ask(id, for: "explanations") { () async throws(EgressError) in
            try await client.answer("/policy/explain" + question.text, of: id)
        }
    }

    package func suggested(_ id: String) async throws(EgressError) -> [UInt8] {
        try await ask(id, for: "suggestions") { () async throws(EgressError) in
            try await client.answer("/policy/suggestion", of: id)
        }
    }

    package func effective(_ id: String) async throws(EgressError) -> [UInt8] {
        try await ask(id, for: "list of all that holds") { () async throws(EgressError) in
            try await client.answer("/policy/effective", of: id)
        }
    }

    package func eventPage(_ id: String, _ query: EventQuery) async throws(EgressError) -> [UInt8] {
        try await ask(id, for: "events") { () async throws(EgressError) in
            try await client.answer("/events" + query.text, of: id)
        }
    }

    package func eventStream(
        _ id: String, after lastSeen: String?, while mayGoOn: @escaping @Sendable () -> Bool
    ) async throws(EgressError) -> Reply {
        try await ask(id, for: "events") { () async throws(EgressError) in
            try await client.events("/events", after: lastSeen, of: id, while: mayGoOn)
        }
    }

    private func ask<Answer>(
        _ id: String, for what: String, _ question: () async throws(EgressError) -> Answer
    ) async throws(EgressError) -> Answer {
        guard id == sandbox else { throw .notGuarded(id) }
        do throws(EgressError) { return try await question() } catch {
            throw error == .notGuarded(id) ? .unsupported(what) : error
        }
    }
}
