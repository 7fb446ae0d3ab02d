import Egress
import NetworkPolicy

/// `EgressController` for the one sandbox.
extension Sidecar {
    /// It guards the namespace that it was started in, and no other.
    package func guards(_ id: String) async -> Bool { id == configuration.sandboxID }

    package func status(_ id: String) async throws(EgressError) -> PolicyStatus { status(policy) }

    @discardableResult
    package func replace(_ id: String, with policy: Policy) async throws(EgressError) -> PolicyStatus {
        try await change(.replace(policy))
    }

    @discardableResult
    package func patch(_ id: String, _ rules: [Rule]) async throws(EgressError) -> PolicyStatus {
        try await change(.merge(rules))
    }

    @discardableResult
    package func removeRules(_ id: String, _ targets: [RuleSelector]) async throws(EgressError) -> PolicyStatus {
        try await change(.remove(targets))
    }

    package func token(of id: String) async throws(EgressError) -> String { token }

    private func change(_ change: PolicyChange) async throws(EgressError) -> PolicyStatus {
        try await Blocking.run { [self] () throws(EgressError) in
            let changed = try guardian.change(store: SidecarPolicyFile(path: configuration.policyFile), change)
            return status(changed.policy, reason: changed.reason)
        }
    }

    private func status(_ policy: Policy, reason: String? = nil) -> PolicyStatus {
        PolicyStatus(policy: policy, reason: reason, enforcementMode: configuration.mode.rawValue)
    }
}

/// `EgressInspector` for the one sandbox. The operator's lists are reported as guardrails, not as the client's rules.
extension Sidecar: EgressInspector {
    package func explain(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> PolicyExplanation {
        guardian.explain(question)
    }

    package func suggestion(_ id: String) async throws(EgressError) -> PolicySuggestion {
        try await Blocking.run { [guardian] () throws(EgressError) in guardian.suggest() }
    }

    package func effectivePolicy(_ id: String) async throws(EgressError) -> EffectivePolicy {
        guardian.effectivePolicy(lists, enforcementMode: configuration.mode.rawValue)
    }

    package func events(_ id: String) async throws(EgressError) -> EventLog { guardian.events }
}
