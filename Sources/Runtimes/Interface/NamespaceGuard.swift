import Netfilter
import NetworkPolicy

/// The guard of this machine's network namespaces, as far as a runtime needs it that makes sandboxes here.
public protocol NamespaceGuard: Sendable {
    /// Puts a policy in force in a namespace in which nothing runs yet.
    /// - Throws: `RuntimeError.policyRefused`, `.unguarded`.
    func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(RuntimeError)

    /// Forgets a sandbox whose namespace is gone; nothing happens to an unknown one.
    func release(_ id: String) async

    /// The sandboxes that it guards.
    var guarded: [String] { get async }
}
