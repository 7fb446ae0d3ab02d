import NetworkPolicy
import Runtimes

@testable import ControlPlane

/// A runtime that has no machine: it asks a cluster for pods and hears of them by a watch.
final class PodRuntime: SandboxRuntime {
    let capabilities = RuntimeCapabilities(secureAccess: true)
    let codes = RuntimeCodes(
        sandboxNotFound: "KUBERNETES::SANDBOX_NOT_FOUND", imagePullFailed: "KUBERNETES::POD_FAILED",
        startFailed: "KUBERNETES::POD_FAILED", deleteFailed: "KUBERNETES::API_ERROR",
        pauseFailed: "KUBERNETES::API_ERROR", resumeFailed: "KUBERNETES::API_ERROR",
        notRunning: "KUBERNETES::INVALID_STATE", notPaused: "KUBERNETES::INVALID_STATE",
        invalidExpiration: "KUBERNETES::INVALID_STATE", invalidPort: "KUBERNETES::INVALID_PORT")
    let events: AsyncStream<RuntimeEvent>

    private let cluster: Cluster
    private let owner: String

    init(_ cluster: Cluster, owner: String) {
        self.cluster = cluster
        self.owner = owner
        let (events, teller) = AsyncStream<RuntimeEvent>.makeStream()
        self.events = events
        Task { [watch = cluster.watch()] in
            for await event in watch { if let event = Self.event(event, owner: owner) { teller.yield(event) } }
        }
    }

    func create(
        _ spec: SandboxSpec, reached: @escaping @Sendable (CreateStage) -> Void
    ) async throws(RuntimeError) -> SandboxPlacement {
        guard cluster.isReachable else { throw .unavailable("the cluster") }
        let changes = cluster.changes()
        cluster.apply(
            Cluster.Pod(
                id: spec.id, labels: spec.labels.all, policy: spec.policy,
                token: String(UInt64.random(in: .min ... .max), radix: 16)))
        for await _ in changes {
            guard let pod = cluster[spec.id] else { throw .startFailed(id: spec.id, reason: "its pod is gone") }
            if let placement = pod.placement { return placement }
            if let end = pod.end {
                await cluster.delete(spec.id)
                throw .startFailed(id: spec.id, reason: "\(end)")
            }
        }
        // Only a task that is called off comes here.
        await cluster.delete(spec.id)
        throw .cancelled
    }

    func delete(_ id: String) async throws(RuntimeError) {
        guard cluster.isReachable else { throw .unavailable("the cluster") }
        await cluster.delete(id)
    }

    func observe(_ id: String) async throws(RuntimeError) -> SandboxObservation {
        guard cluster.isReachable else { throw .unavailable("the cluster") }
        guard let pod = cluster[id] else { return SandboxObservation(.missing) }
        switch pod.phase {
        case .pending: return SandboxObservation(.starting)
        case .running: return SandboxObservation(.running, placement: pod.placement)
        case .ended: return SandboxObservation(.exited, end: pod.end)
        }
    }

    func owned() async throws(RuntimeError) -> [String] {
        guard cluster.isReachable else { throw .unavailable("the cluster") }
        return cluster.pods(labelled: SandboxLabels.ownerKey, owner).map(\.id)
    }

    func logTail(of id: String, bytes: Int) async -> String { "" }

    /// Nothing of others' pods is told.
    private static func event(_ event: Cluster.WatchEvent, owner: String) -> RuntimeEvent? {
        switch event {
        case .gone: return .missed
        case .modified(let pod) where pod.labels[SandboxLabels.ownerKey] == owner:
            if let end = pod.end { return .exited(end) }
            return pod.placement.map { .started(id: pod.id, $0) }
        case .deleted(let pod) where pod.labels[SandboxLabels.ownerKey] == owner:
            return .lost(id: pod.id, reason: "its pod was deleted: the node may have died")
        case .modified, .deleted: return nil
        }
    }
}

extension Cluster.Pod {
    var placement: SandboxPlacement? {
        guard phase == .running, let sidecar else { return nil }
        return SandboxPlacement(
            .sidecar(PolicyEndpoint(host: "127.0.0.1", port: sidecar.port, token: token)), .pod(address: address))
    }

    var end: SandboxEnd? {
        guard case .ended(let end, let isOutOfMemory) = phase else { return nil }
        return SandboxEnd(id: id, entrypoint: end, memoryKills: isOutOfMemory ? 1 : 0, memoryLimit: 1 << 28)
    }
}
