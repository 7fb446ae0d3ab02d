import Netfilter
import NetworkPolicy

/// What is asked of the guard of a sandbox, wherever it is attached: in this process (`EgressNode`), behind another
/// process's socket (`RemoteEgressNode`), behind the `/policy` of a sidecar (`SidecarPolicy`). A sidecar is one, too.
package protocol EgressController: Sendable {
    func status(_ id: String) async throws(EgressError) -> PolicyStatus

    @discardableResult
    func replace(_ id: String, with policy: Policy) async throws(EgressError) -> PolicyStatus

    /// Puts the rules in front; existing rules with the same targets are replaced.
    @discardableResult
    func patch(_ id: String, _ rules: [Rule]) async throws(EgressError) -> PolicyStatus

    /// Removes the selected rules. Selecting none is not an error; `PolicyStatus.reason` says so.
    @discardableResult
    func removeRules(_ id: String, _ targets: [RuleSelector]) async throws(EgressError) -> PolicyStatus

    /// The secret that a client of this sandbox's policy API sends in `OPENSANDBOX-EGRESS-AUTH`.
    func token(of id: String) async throws(EgressError) -> String

    /// Whether it guards the sandbox now.
    func guards(_ id: String) async -> Bool
}

/// The guard of a machine's network namespaces, in this process or in another one.
package protocol NamespaceController: EgressController {
    /// Puts the policy into the kernel for a sandbox's namespace; the rules are in force when it returns.
    /// Idempotent: for a sandbox guarded already, the policy replaces the one in force.
    func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(EgressError)

    /// Stops guarding a sandbox whose namespace is being removed. The kernel's rules stay as long as the namespace, so
    /// releasing never opens anything. Does nothing for an unknown sandbox.
    func release(_ id: String) async

    /// The ids of the guarded sandboxes, sorted.
    var guarded: [String] { get async }

    /// Why it could guard no other sandbox now; nil if it could.
    var obstacle: String? { get async }
}

extension NamespaceController {
    package var obstacle: String? { nil }
    package func guards(_ id: String) async -> Bool { await guarded.contains(id) }
}

/// Reads a guard's state without changing anything.
package protocol EgressInspector: Sendable {
    /// The verdict of the policy in force on some traffic, from the same evaluator that the filter and the kernel's
    /// rules use.
    func explain(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> PolicyExplanation

    /// The policy in force and what else the sandbox was seen to use.
    func suggestion(_ id: String) async throws(EgressError) -> PolicySuggestion

    func events(_ id: String) async throws(EgressError) -> EventLog

    /// All that decides what the sandbox reaches, in order.
    func effectivePolicy(_ id: String) async throws(EgressError) -> EffectivePolicy
}
