import NetworkPolicy

/// `EgressController` for the one sandbox.
extension Sidecar {
    /// It guards the namespace that it was started in, and no other.
    public func guards(_ id: String) async -> Bool { id == configuration.sandboxID }

    public func status(_ id: String) async throws(EgressError) -> PolicyStatus { status(policy) }

    @discardableResult
    public func replace(_ id: String, with policy: Policy) async throws(EgressError) -> PolicyStatus {
        try await changing { $0.policy = policy }
    }

    @discardableResult
    public func patch(_ id: String, _ rules: [Rule]) async throws(EgressError) -> PolicyStatus {
        try await changing { $0.policy = $0.policy.merging(rules) }
    }

    @discardableResult
    public func removeRules(_ id: String, _ targets: [RuleSelector]) async throws(EgressError) -> PolicyStatus {
        try await Blocking.run { [self] () throws(EgressError) in
            var removed = 0
            let policy = try change { (policies: inout Policies) throws(EgressError) in
                (policies.policy, removed) = policies.policy.removing(targets)
            }
            return status(policy, reason: removed == 0 ? PolicyStatus.nothingRemoved : nil)
        }
    }

    public func token(of id: String) async throws(EgressError) -> String { token }

    private func changing(
        _ transform: @escaping @Sendable (inout Policies) -> Void
    ) async throws(EgressError) -> PolicyStatus {
        try await Blocking.run { [self] () throws(EgressError) in
            status(try change { (policies: inout Policies) throws(EgressError) in transform(&policies) })
        }
    }

    private func status(_ policy: Policy, reason: String? = nil) -> PolicyStatus {
        PolicyStatus(policy: policy, reason: reason, enforcementMode: configuration.mode.rawValue)
    }
}

/// `EgressInspector` for the one sandbox. The operator's lists are reported as guardrails, not as the client's rules.
extension Sidecar: EgressInspector {
    func explain(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> PolicyExplanation {
        guardian.explain(question)
    }

    func suggestion(_ id: String) async throws(EgressError) -> PolicySuggestion { guardian.suggestion }

    func events(_ id: String) async throws(EgressError) -> EventLog { guardian.watch.log }
}
