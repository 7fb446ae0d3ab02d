import Egress
import EgressRemote
import Foundation
import HTTPServer
import Ingress
import Logging
import NetworkPolicy
import Runtimes
import SecureAccess
import Synchronization

@testable import ControlPlane

/// A server over a cluster: everything of ours is real but the pods. Another one on the same cluster and store is what comes
/// after a restart.
final class PodHouse: TestServer {
    let cluster: Cluster
    let owner: String
    let service: SandboxService
    let api: LifecycleAPI
    let routes = RouteTable(policySocket: "/none", credentialKey: Array("key".utf8))
    private let store: TestStore
    private let presets: Presets
    private let waiting = Waiting()
    private let follower: Task<Void, Never>

    init(
        _ cluster: Cluster = Cluster(), store: TestStore? = nil, owner: String = "ours",
        presets: Presets = .none, patience: Duration = .seconds(20)
    ) async throws {
        self.cluster = cluster
        self.owner = owner
        self.presets = presets
        let store = try store ?? TestStore()
        self.store = store
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let runtime = PodRuntime(cluster, owner: owner)
        let guards = SandboxGuards(runtime: runtime, machine: FakeEgress()) {
            SidecarPolicy(of: $0, host: $1.host, port: $1.port, token: $1.token, presets: presets)
        }
        let (routes, waiting) = (routes, waiting)
        let service = SandboxService(
            runtime: runtime, egress: guards, store: store.store, owner: owner, logger: logger, patience: patience,
            execdToken: { routes.execdToken(of: $0) }
        ) {
            routes.set($0, $1)
            waiting.changed($0, $1)
        }
        self.service = service
        api = LifecycleAPI(
            service: service,
            endpoints: EndpointResolver(
                address: "gw:28888", routing: .header, keys: LiveKeys(try KeyRing(active: "a", keys: ["a": [1, 2, 3]]))),
            routes: routes,
            limits: RequestLimits(presets: presets, capabilities: runtime.capabilities, codes: runtime.codes),
            rules: LiveRules(
                APIRules(
                    apiKey: House.apiKey,
                    callers: CallerRules(names: HostNames(["h"]), origins: [], asksForKey: true))), logger: logger,
            metricsText: { "" })
        try await service.recover()
        follower = Task { await service.follow() }
    }

    deinit { follower.cancel() }

    /// The server is gone, and another one takes its place.
    func restarted() async throws -> PodHouse {
        follower.cancel()
        return try await PodHouse(cluster, store: store, owner: owner, presets: presets)
    }

    /// A second server on the same cluster.
    func neighbour() async throws -> PodHouse { try await PodHouse(cluster, owner: "theirs") }

    func state(_ id: String) -> SandboxState? { service.catalog[id]?.status.state }

    func until(_ id: String, _ state: SandboxState) async {
        await waiting.until(id, state) { self.service.catalog[id]?.status.state == state }
    }

    /// The store on a disk, so that what a server reads is what another one wrote.
    final class TestStore: Sendable {
        let store: SQLiteStore
        private let path = "/tmp/spt-pods-\(UInt64.random(in: .min ... .max)).db"

        init() throws { store = try SQLiteStore(path: path) }
        deinit { for end in ["", "-wal", "-shm"] { unlink(path + end) } }
    }
}

/// Whoever waits for a sandbox's state.
private final class Waiting: Sendable {
    private struct Wait {
        let id: String
        let state: SandboxState
        let continuation: CheckedContinuation<Void, Never>
    }

    private let waits = Mutex<[Wait]>([])

    func changed(_ id: String, _ sandbox: Sandbox?) {
        let over = waits.withLock { waits in
            let over = waits.filter { $0.id == id && $0.state == sandbox?.status.state }
            waits.removeAll { $0.id == id && $0.state == sandbox?.status.state }
            return over
        }
        for wait in over { wait.continuation.resume() }
    }

    func until(_ id: String, _ state: SandboxState, isSo: () -> Bool) async {
        await withCheckedContinuation { continuation in
            // Asked with the list closed: a change comes before or finds it there.
            let isSo = waits.withLock { waits in
                guard !isSo() else { return true }
                waits.append(Wait(id: id, state: state, continuation: continuation))
                return false
            }
            if isSo { continuation.resume() }
        }
    }
}
