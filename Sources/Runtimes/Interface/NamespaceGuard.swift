import Netfilter
import NetworkPolicy

/// The guard of this machine's network namespaces, for runtimes that make sandboxes on this machine.
package protocol NamespaceGuard: Sendable {
    /// Enforces a policy in a namespace where nothing runs yet.
    /// - Throws: `RuntimeError.policyRefused`, `.unguarded`.
    func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(RuntimeError)

    /// Enforces another policy in a namespace that is protected.
    /// - Throws: `RuntimeError.policyRefused`, `.unguarded`, `.guardAway`.
    func replace(_ id: String, with policy: Policy) async throws(RuntimeError)

    /// Forgets a sandbox whose namespace is gone. Does nothing for an unknown one.
    func release(_ id: String) async

    /// The sandboxes that it guards.
    var guarded: [String] { get async }
}
