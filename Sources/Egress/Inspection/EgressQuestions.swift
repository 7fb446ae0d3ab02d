import HTTPServer
import NetworkPolicy

/// What is asked of a guard besides its policy, wherever the guard is, answered in the form of its API
/// (docs/egress.md#the-policy-api).
package protocol EgressQuestions: Sendable {
    /// JSON: what would happen to some traffic now, and why.
    func explained(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> [UInt8]
    /// JSON: the policy in force and what else the sandbox was seen to use.
    func suggested(_ id: String) async throws(EgressError) -> [UInt8]
    /// JSON: all that decides what the sandbox reaches, in order.
    func effective(_ id: String) async throws(EgressError) -> [UInt8]
    /// JSON: recent events.
    func eventPage(_ id: String, _ query: EventQuery) async throws(EgressError) -> [UInt8]
    /// Server-sent events.
    /// - Parameters:
    ///   - lastSeen: the id of the last event that the reader has.
    ///   - mayGoOn: asked before each part; when it says no, the stream ends.
    func eventStream(
        _ id: String, after lastSeen: String?, while mayGoOn: @escaping @Sendable () -> Bool
    ) async throws(EgressError) -> Reply
}

extension EgressQuestions where Self: EgressInspector & EgressController {
    package func explained(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> [UInt8] {
        try await explain(id, question).encodedJSON()
    }

    package func suggested(_ id: String) async throws(EgressError) -> [UInt8] {
        try await suggestion(id).encodedJSON()
    }

    package func effective(_ id: String) async throws(EgressError) -> [UInt8] {
        try await effectivePolicy(id).encodedJSON()
    }

    package func eventPage(_ id: String, _ query: EventQuery) async throws(EgressError) -> [UInt8] {
        let isEnforced = try await status(id).policy.mode == .enforce
        return try await events(id).page(query, isEnforced: isEnforced)
    }

    package func eventStream(
        _ id: String, after lastSeen: String?, while mayGoOn: @escaping @Sendable () -> Bool
    ) async throws(EgressError) -> Reply {
        let isEnforced = try await status(id).policy.mode == .enforce
        return EventStream(log: try await events(id), isEnforced: isEnforced, mayGoOn: mayGoOn).reply(after: lastSeen)
    }
}
