import Egress
import Netfilter
import NetworkPolicy
import Runtimes

/// This machine's guard as the local runtime needs it, whether it runs in this process or in a separate one.
struct MachineGuard: NamespaceGuard {
    let controller: any NamespaceController

    func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(RuntimeError) {
        do throws(EgressError) {
            try await controller.protect(id, namespace: namespace, policy: policy)
        } catch {
            switch error {
            case .tooManyRules, .invalidPolicy: throw .policyRefused("networkPolicy: \(error)")
            case .unreachable: throw .guardAway("\(error)")
            case .notGuarded, .invalidIdentifier, .kernel, .guardedTwice, .storage, .remote:
                throw .unguarded("\(error)")
            }
        }
    }

    func release(_ id: String) async { await controller.release(id) }

    var guarded: [String] { get async { await controller.guarded } }
}
