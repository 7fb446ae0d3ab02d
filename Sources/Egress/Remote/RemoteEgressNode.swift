import Egress
import HTTPClient
import HTTPServer
import JSON
import Netfilter
import NetworkPolicy

/// The guard in another process (`sallyport guard`), reached over its administrative unix socket.
package final class RemoteEgressNode: NamespaceController {
    private let client: GuardHTTPClient

    /// - Parameters:
    ///   - adminSocketPath: `EgressConfiguration.adminSocketPath` of that process.
    ///   - isAway: whether nobody will answer soon. Given where the socket is kept open while the process is started again:
    ///     what is asked then waits in the socket, and what the process has died of is asked once more. Every change may be
    ///     made twice: the second one finds what it wants.
    package init(adminSocketPath: String, isAway: (@Sendable () -> Bool)? = nil) {
        client = GuardHTTPClient(address: .unix(path: adminSocketPath), isAway: isAway)
    }

    package func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(EgressError) {
        let request = AdminRequest.Protect(namespace: namespace.path, policy: policy)
        _ = try await client.call("PUT", try path(id), body: request.encoded(), of: id)
    }

    package func release(_ id: String) async {
        guard let path = try? path(id) else { return }
        _ = try? await client.call("DELETE", path, of: id)
    }

    package func status(_ id: String) async throws(EgressError) -> PolicyStatus {
        try await policyCall("GET", id, body: nil)
    }

    @discardableResult
    package func replace(_ id: String, with policy: Policy) async throws(EgressError) -> PolicyStatus {
        try await policyCall("PUT", id, body: policy.encodedJSON(.record))
    }

    @discardableResult
    package func patch(_ id: String, _ rules: [Rule]) async throws(EgressError) -> PolicyStatus {
        try await policyCall("PATCH", id, body: Policy.encodeRules(rules, .record))
    }

    @discardableResult
    package func removeRules(_ id: String, _ targets: [RuleSelector]) async throws(EgressError) -> PolicyStatus {
        try await policyCall("DELETE", id, body: JSONValue.array(targets.map { .string($0.description) }).encoded)
    }

    package func token(of id: String) async throws(EgressError) -> String {
        try await client.call("GET", try path(id) + "/token", of: id).text
    }

    package var guarded: [String] {
        get async {
            guard let response = try? await client.call("GET", "/sandboxes", of: "") else { return [] }
            return (try? JSONValue(response.body).decode()) ?? []
        }
    }

    package var obstacle: String? {
        get async {
            let asked = GuardHTTPClient(address: client.address, timeoutMilliseconds: 1000)
            do throws(EgressError) {
                let answer = try await asked.send("GET", "/ready")
                guard answer.status != 200 else { return nil }
                guard case .array(let checks)? = (try? JSONValue(answer.body))?["checks"] else {
                    return "it answers with status \(answer.status)"
                }
                let problems = checks.compactMap { if case .string(let text)? = $0["problem"] { text } else { nil } }
                return problems.joined(separator: "; ")
            } catch { return "\(error)" }
        }
    }

    private func policyCall(_ method: String, _ id: String, body: [UInt8]?) async throws(EgressError) -> PolicyStatus {
        let response = try await client.call(method, try path(id) + "/policy", body: body, of: id)
        return try PolicyStatus(decoding: response.body, form: .record)
    }

    private func path(_ id: String) throws(EgressError) -> String {
        guard SandboxIdentifier.isValid(id) else { throw .invalidIdentifier(id) }
        return "/sandboxes/" + id
    }
}

extension RemoteEgressNode: EgressQuestions {
    package func explained(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> [UInt8] {
        try await client.answer(try path(id) + "/policy/explain" + question.text, of: id)
    }

    package func suggested(_ id: String) async throws(EgressError) -> [UInt8] {
        try await client.answer(try path(id) + "/policy/suggestion", of: id)
    }

    package func effective(_ id: String) async throws(EgressError) -> [UInt8] {
        try await client.answer(try path(id) + "/policy/effective", of: id)
    }

    package func eventPage(_ id: String, _ query: EventQuery) async throws(EgressError) -> [UInt8] {
        try await client.answer(try path(id) + "/events" + query.text, of: id)
    }

    package func eventStream(
        _ id: String, after lastSeen: String?, while mayGoOn: @escaping @Sendable () -> Bool
    ) async throws(EgressError) -> Reply {
        try await client.events(try path(id) + "/events", after: lastSeen, of: id, while: mayGoOn)
    }
}
