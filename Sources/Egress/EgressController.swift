import Netfilter
import NetworkPolicy

/// Guards sandboxes: in this process (`EgressNode`) or in another one (`RemoteEgressNode`).
public protocol EgressController: Sendable {
    /// Puts the policy into the kernel for a sandbox's namespace; the rules are in force when it returns.
    /// Idempotent: for a sandbox guarded already, the policy replaces the one in force.
    func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(EgressError)

    /// Forgets a sandbox whose namespace is going away. The kernel's rules stay until the namespace is gone,
    /// so releasing never opens anything. Does nothing for an unknown sandbox.
    func release(_ id: String) async

    func status(_ id: String) async throws(EgressError) -> PolicyStatus

    @discardableResult
    func replace(_ id: String, with policy: Policy) async throws(EgressError) -> PolicyStatus

    /// Puts the rules before the existing ones; equal targets are replaced.
    @discardableResult
    func patch(_ id: String, _ rules: [Rule]) async throws(EgressError) -> PolicyStatus

    /// Removes the rules that are named; unknown ones are ignored and named in `PolicyStatus.reason`.
    @discardableResult
    func removeRules(_ id: String, _ targets: [RuleSelector]) async throws(EgressError) -> PolicyStatus

    /// The secret that a client of this sandbox's policy API sends in `OPENSANDBOX-EGRESS-AUTH`.
    func token(of id: String) async throws(EgressError) -> String

    /// The sandboxes guarded now, sorted.
    var guarded: [String] { get async }
}
