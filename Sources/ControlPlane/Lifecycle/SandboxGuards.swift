import Egress
import HTTPServer
import NetworkPolicy
import Runtimes
import Synchronization

/// Combines the guards of all sandboxes. Each call goes to the guard that the sandbox is attached to.
final class SandboxGuards: EgressController {
    private let runtime: any SandboxRuntime
    private let machine: any EgressController
    private let sidecar: @Sendable (_ id: String, PolicyEndpoint) -> any EgressController
    private let known = Mutex<[String: any EgressController]>([:])

    /// - Parameters:
    ///   - machine: the guard of this machine's namespaces.
    ///   - sidecar: creates the client of a sidecar.
    init(
        runtime: any SandboxRuntime, machine: any EgressController,
        sidecar: @escaping @Sendable (_ id: String, PolicyEndpoint) -> any EgressController
    ) {
        self.runtime = runtime
        self.machine = machine
        self.sidecar = sidecar
    }

    /// Registers a sandbox's guard. A sidecar's token is kept in memory only; after a restart the runtime provides it
    /// again.
    func attach(_ id: String, _ attachment: GuardAttachment) {
        let controller: (any EgressController)? =
            switch attachment {
            case .namespace: machine
            case .sidecar(let endpoint): sidecar(id, endpoint)
            case .absent: nil
            }
        known.withLock { $0[id] = controller }
    }

    func forget(_ id: String) { known.withLock { $0[id] = nil } }

    /// - Throws: `EgressError.notGuarded` if there is no such sandbox, `.unreachable` if the runtime does not answer.
    private func controller(of id: String) async throws(EgressError) -> any EgressController {
        if let controller = known.withLock({ $0[id] }) { return controller }
        let placement: SandboxPlacement?
        do throws(RuntimeError) { placement = try await runtime.observe(id).placement } catch {
            throw .unreachable("\(error)")
        }
        guard let placement else { throw .notGuarded(id) }
        attach(id, placement.attachment)
        return try known.withLock { known throws(EgressError) in
            guard let controller = known[id] else { throw .notGuarded(id) }
            return controller
        }
    }

    // MARK: EgressController

    func guards(_ id: String) async -> Bool {
        guard let controller = try? await controller(of: id) else { return false }
        return await controller.guards(id)
    }

    func status(_ id: String) async throws(EgressError) -> PolicyStatus { try await controller(of: id).status(id) }

    func replace(_ id: String, with policy: Policy) async throws(EgressError) -> PolicyStatus {
        try await controller(of: id).replace(id, with: policy)
    }

    func patch(_ id: String, _ rules: [Rule]) async throws(EgressError) -> PolicyStatus {
        try await controller(of: id).patch(id, rules)
    }

    func removeRules(_ id: String, _ targets: [RuleSelector]) async throws(EgressError) -> PolicyStatus {
        try await controller(of: id).removeRules(id, targets)
    }

    func token(of id: String) async throws(EgressError) -> String { try await controller(of: id).token(of: id) }
}

extension SandboxGuards: EgressQuestions {
    func explained(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> [UInt8] {
        try await answering(id).explained(id, question)
    }

    func suggested(_ id: String) async throws(EgressError) -> [UInt8] { try await answering(id).suggested(id) }

    func effective(_ id: String) async throws(EgressError) -> [UInt8] { try await answering(id).effective(id) }

    func eventPage(_ id: String, _ query: EventQuery) async throws(EgressError) -> [UInt8] {
        try await answering(id).eventPage(id, query)
    }

    func eventStream(
        _ id: String, after lastSeen: String?, while mayGoOn: @escaping @Sendable () -> Bool
    ) async throws(EgressError) -> Reply {
        try await answering(id).eventStream(id, after: lastSeen, while: mayGoOn)
    }

    private func answering(_ id: String) async throws(EgressError) -> any EgressQuestions {
        guard let guardian = try await controller(of: id) as? any EgressQuestions else {
            throw .unsupported("answers to this")
        }
        return guardian
    }
}
