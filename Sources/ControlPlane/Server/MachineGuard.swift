import Egress
import Netfilter
import NetworkPolicy
import Runtimes

/// This machine's guard as the local runtime needs it, whether it runs in this process or in a separate one.
struct MachineGuard: NamespaceGuard {
    let controller: any NamespaceController

    func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(RuntimeError) {
        try await translated { () async throws(EgressError) in
            try await controller.protect(id, namespace: namespace, policy: policy)
        }
    }

    func replace(_ id: String, with policy: Policy) async throws(RuntimeError) {
        try await translated { () async throws(EgressError) in _ = try await controller.replace(id, with: policy) }
    }

    private func translated(_ body: () async throws(EgressError) -> Void) async throws(RuntimeError) {
        do throws(EgressError) { try await body() } catch {
            switch error {
            case .tooManyRules, .invalidPolicy: throw .policyRefused("networkPolicy: \(error)")
            case .unreachable: throw .guardAway("\(error)")
            case .notGuarded, .invalidIdentifier, .kernel, .guardedTwice, .storage, .remote, .unsupported:
                throw .unguarded("\(error)")
            }
        }
    }

    func release(_ id: String) async { await controller.release(id) }

    var guarded: [String] { get async { await controller.guarded } }
}
