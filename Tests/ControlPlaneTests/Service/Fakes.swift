import Addresses
import Egress
import FoundationEssentials
import HTTPServer
import Ingress
import Logging
import NIOHTTP1
import NIOPosix
import Netfilter
import NetworkPolicy
import Runtimes
import SecureAccess
import Synchronization

@testable import ControlPlane

/// A runtime in memory that can be told to fail. Like the local one it guards before it starts.
final class FakeRuntime: SandboxRuntime {
    struct State {
        var sandboxes: [String: RuntimeState] = [:]
        var failing: Set<String> = []
        var log: [String] = []
        var specs: [String: SandboxSpec] = [:]
        var snapshots: Set<String> = []
        /// What the name `known` means; nil where the runtime does not know.
        var image: String?
        var kept: [KeptImage] = []
    }

    let state = Mutex(State())
    let capabilities = LocalRuntime.capabilities
    let codes = RuntimeCodes.docker
    let events: AsyncStream<RuntimeEvent>
    let event: AsyncStream<RuntimeEvent>.Continuation
    /// What a start, a pause and a resume wait for.
    let gate = Gate()
    /// What the hand-out of a sandbox that waited waits for.
    let handOut = Gate()
    /// What a pull waits for, unless its create is called off.
    let pull = Gate()
    /// What taking a snapshot waits for, unless it is called off.
    let capture = Gate()
    /// What a deletion waits for.
    let deletion = Gate()
    private let egress: FakeEgress

    init(_ egress: FakeEgress) {
        (events, event) = AsyncStream<RuntimeEvent>.makeStream()
        self.egress = egress
    }

    func fail(_ action: String) { state.withLock { _ = $0.failing.insert(action) } }
    var left: [String] { state.withLock { $0.sandboxes.keys.sorted() } }
    var log: [String] { state.withLock { $0.log } }
    var specs: [String: SandboxSpec] { state.withLock { $0.specs } }

    private func act(_ action: String, _ id: String, _ next: RuntimeState?) throws(RuntimeError) {
        try state.withLock { state throws(RuntimeError) in
            state.log.append("\(action) \(id)")
            guard !state.failing.contains(action) else { throw .system(action: action, reason: "told to fail") }
            state.sandboxes[id] = next
        }
    }

    func pull(
        _ reference: String, _ credentials: RegistryCredentials?, for caller: String?
    ) async throws(RuntimeError) -> KeptImage {
        guard await pull.passUnlessCancelled() else { throw .cancelled }
        guard reference == "known" else { throw .image(reason: "there is no \(reference)", isCallersFault: true) }
        let image = KeptImage(
            reference: reference, digest: "sha256:1", access: credentials == nil ? .open : .restricted, isUsed: false)
        state.withLock { $0.kept.append(image) }
        return image
    }

    func keptImages() async -> [KeptImage] { state.withLock { $0.kept } }

    func remove(image reference: String) async throws(ImageRemovalError) {
        try state.withLock { state throws(ImageRemovalError) in
            guard let place = state.kept.firstIndex(where: { $0.reference == reference }) else { throw .unknown }
            guard state.kept[place].access != .local else { throw .local }
            guard state.kept[place].isUsed == false else { throw .inUse }
            state.kept.remove(at: place)
        }
    }

    func admit(_ limits: ResourceLimits) async throws(RuntimeError) {
        guard !state.withLock({ $0.failing.contains("admit") }) else {
            throw .diskNearlyFull(folder: "/state", free: "1 MiB", needed: "1024 MiB")
        }
        guard limits.diskBytes == nil || !state.withLock({ $0.failing.contains("disk") }) else {
            throw .unenforcedLimit("disk")
        }
    }

    func create(
        _ spec: SandboxSpec, reached: @escaping @Sendable (CreateStage) -> Void
    ) async throws(RuntimeError) -> SandboxPlacement {
        guard await pull.passUnlessCancelled() else { throw .cancelled }
        let image = await revision(ofImage: "known")
        switch spec.source {
        case .image("known", _): break
        case .snapshot(let id) where state.withLock({ $0.snapshots.contains(id) }): break
        case .snapshot(let id): throw .unusableSnapshot(id: id, reason: "its files are not there")
        case .image: throw .image(reason: "there is no such image", isCallersFault: true)
        }
        reached(.imageReady)
        try act("prepare", spec.id, .abandoned)
        state.withLock { $0.specs[spec.id] = spec }
        do throws(RuntimeError) {
            do throws(EgressError) {
                try await egress.protect(
                    spec.id, namespace: NetworkNamespace(existing: "/run/netns/\(spec.id)"), policy: spec.policy)
            } catch {
                throw .unguarded("\(error)")
            }
            await gate.pass()
            try act("start", spec.id, .running)
        } catch {
            try? await delete(spec.id)
            throw error
        }
        var placement = placement(spec.id)
        placement.image = image
        return placement
    }

    func revision(ofImage reference: String) async -> ImageRevision? {
        reference == "known" ? state.withLock { $0.image }.map { .digest($0) } : nil
    }

    func begin(_ use: SandboxUse) async throws(RuntimeError) -> SandboxPlacement {
        do throws(RuntimeError) {
            guard state.withLock({ $0.specs[use.id]?.isHeld == true }) else { throw .notFound(use.id) }
            do throws(EgressError) { _ = try await egress.replace(use.id, with: use.policy) } catch {
                throw .unguarded("\(error)")
            }
            await handOut.pass()
            try act("begin", use.id, .running)
        } catch {
            try? await delete(use.id)
            throw error
        }
        return placement(use.id)
    }

    private func placement(_ id: String) -> SandboxPlacement {
        SandboxPlacement(
            .namespace(path: "/run/netns/\(id)"), .machine(address: "10.0.0.2", addressV6: "fd00::2"))
    }

    func pause(_ id: String) async throws(RuntimeError) {
        await gate.pass()
        try act("pause", id, .paused)
    }
    func resume(_ id: String) async throws(RuntimeError) {
        await gate.pass()
        try act("resume", id, .running)
    }
    func delete(_ id: String) async throws(RuntimeError) {
        await deletion.pass()
        try act("delete", id, nil)
        await egress.release(id)
    }
    func takeSnapshot(_ id: String, of sandbox: String) async throws(RuntimeError) {
        guard await capture.passUnlessCancelled() else { throw .cancelled }
        try act("capture", sandbox, state.withLock { $0.sandboxes[sandbox] })
        state.withLock { _ = $0.snapshots.insert(id) }
    }
    func deleteSnapshot(_ id: String) async throws(RuntimeError) {
        guard !state.withLock({ $0.failing.contains("forget") }) else {
            throw .system(action: "forget", reason: "told to fail")
        }
        state.withLock { _ = $0.snapshots.remove(id) }
    }
    func snapshots() async throws(RuntimeError) -> [String] { state.withLock { $0.snapshots.sorted() } }

    func observe(_ id: String) async throws(RuntimeError) -> SandboxObservation {
        state.withLock { $0.sandboxes[id] }.map { SandboxObservation($0, placement: placement(id)) }
            ?? SandboxObservation(.missing)
    }
    func owned() async throws(RuntimeError) -> [String] { Set(left + (await egress.guarded)).sorted() }
    func isolation(of id: String) async -> String { "a wall of paper" }
    func logTail(of id: String, bytes: Int) async -> String { "line 1\nline 2" }
    func logTail(of id: String, bytes: Int, since: Int64) async -> String? {
        let ago = Timestamp.now().seconds - since
        return ago >= 600 ? "line 2 of \(ago / 600 * 600) seconds" : nil
    }
}

/// Open unless it has been closed; whoever comes to a closed one waits until it is opened.
final class Gate: Sendable {
    private let waiting = Mutex<[CheckedContinuation<Void, Never>]?>(nil)

    func close() { waiting.withLock { $0 = [] } }

    func open() {
        let all = waiting.withLock { waiting in
            defer { waiting = nil }
            return waiting ?? []
        }
        for one in all { one.resume() }
    }

    func pass() async {
        await withCheckedContinuation { continuation in
            let isOpen = waiting.withLock { waiting in
                waiting?.append(continuation)
                return waiting == nil
            }
            if isOpen { continuation.resume() }
        }
    }

    /// - Returns: false where the task is cancelled before it is opened.
    func passUnlessCancelled() async -> Bool {
        guard waiting.withLock({ $0 != nil }) else { return !Task.isCancelled }
        let (answers, answer) = AsyncStream<Void>.makeStream()
        Task {
            await pass()
            answer.yield()
        }
        for await _ in answers { return true }
        return false
    }
}

/// A guard in memory.
final class FakeEgress: NamespaceController {
    let policies = Mutex<[String: Policy]>([:])
    let failing = Mutex(false)

    private func policy(_ id: String) throws(EgressError) -> Policy {
        guard let policy = policies.withLock({ $0[id] }) else { throw .notGuarded(id) }
        return policy
    }
    private func set(_ id: String, _ policy: Policy) -> PolicyStatus {
        policies.withLock { $0[id] = policy }
        return PolicyStatus(policy: policy)
    }

    func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(EgressError) {
        guard !failing.withLock({ $0 }) else { throw .kernel("told to fail") }
        _ = set(id, policy)
    }
    func release(_ id: String) async { policies.withLock { $0[id] = nil } }
    func status(_ id: String) async throws(EgressError) -> PolicyStatus { PolicyStatus(policy: try policy(id)) }
    func replace(_ id: String, with policy: Policy) async throws(EgressError) -> PolicyStatus {
        _ = try self.policy(id)
        return set(id, policy)
    }
    func patch(_ id: String, _ rules: [Rule]) async throws(EgressError) -> PolicyStatus {
        set(id, try policy(id).merging(rules))
    }
    func removeRules(_ id: String, _ targets: [RuleSelector]) async throws(EgressError) -> PolicyStatus {
        set(id, try policy(id).removing(targets).policy)
    }
    func token(of id: String) async throws(EgressError) -> String {
        _ = try policy(id)
        return "token-of-\(id)"
    }
    var guarded: [String] { get async { policies.withLock { $0.keys.sorted() } } }
}

/// A store in memory that can be told to fail.
final class FakeStore: ServerStore {
    final class Table<Record: Identifiable<String> & Sendable>: RecordTable {
        let rows = Mutex<[String: Record]>([:])
        let failing = Mutex(false)
        let damaged = Mutex<[String]>([])

        private func check() throws(StoreError) {
            if failing.withLock({ $0 }) { throw StoreError(path: "memory", reason: "told to fail") }
        }
        func save(_ record: Record) async throws(StoreError) {
            try check()
            rows.withLock { $0[record.id] = record }
        }
        func remove(_ id: String) async throws(StoreError) {
            try check()
            rows.withLock { $0[id] = nil }
        }
        func all() async throws(StoreError) -> [Record] { rows.withLock { Array($0.values) } }
        func unreadable() async throws(StoreError) -> [String] { damaged.withLock { $0 } }
    }

    let sandboxTable = Table<Sandbox>(), snapshotTable = Table<Snapshot>(), poolTable = Table<Pool>()
    var sandboxes: any RecordTable<Sandbox> { sandboxTable }
    var snapshots: any RecordTable<Snapshot> { snapshotTable }
    var pools: any RecordTable<Pool> { poolTable }
    func checkWrite() async throws(StoreError) {
        if sandboxTable.failing.withLock({ $0 }) { throw StoreError(path: "memory", reason: "told to fail") }
    }
}

/// A server without sockets, processes or files.
struct House {
    let egress = FakeEgress()
    let runtime: FakeRuntime
    let everything = FakeStore()
    /// The sandboxes of the store.
    var store: FakeStore.Table<Sandbox> { everything.sandboxTable }
    let routes: RouteTable
    var poolStore: FakeStore.Table<Pool> { everything.poolTable }
    let pools: WarmPools
    let service: SandboxService
    let keys: LiveAPIKeys
    let rules: LiveRules
    let api: LifecycleAPI

    static let apiKey = "the-api-key"

    init(
        apiKey: String? = House.apiKey, patience: Duration = .seconds(20), imageInterval: Duration = .seconds(3600),
        maxTimeout: Int = RequestLimits.maxLife, creates: CreateLimits = CreateLimits(), failuresKept: Int = 3600,
        pages: APIPages? = APIPages(folder: nil), keys: APIKeys = .none, tenants: Tenants? = nil,
        provider: TenantProvider? = nil, audit: RequestAudit? = nil, accessLog: AccessLog? = nil,
        renewals: RouteTable.Renewals? = nil
    ) throws {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let routes = RouteTable(
            policySocket: "/run/policy.sock", credentialKey: Array("key".utf8), renewals: renewals)
        self.routes = routes
        self.keys = LiveAPIKeys(keys)
        rules = LiveRules(
            APIRules(
                apiKey: apiKey,
                callers: CallerRules(
                    names: HostNames(["h", "api", "gw"]), origins: ["https://console.example"],
                    asksForKey: apiKey != nil), maxTimeout: maxTimeout))
        runtime = FakeRuntime(egress)
        pools = WarmPools(
            runtime: runtime, store: everything.pools, owner: "test", logger: logger, imageInterval: imageInterval
        ) { routes.execdToken(of: $0) }
        service = SandboxService(
            runtime: runtime, egress: Self.guards(runtime, egress), store: everything, owner: "test", logger: logger,
            patience: patience, pools: pools, creates: creates, failuresKept: failuresKept,
            execdToken: { routes.execdToken(of: $0) }
        ) { routes.set($0, $1) }
        let (store, runtime) = (everything, runtime)
        api = LifecycleAPI(
            service: service,
            endpoints: EndpointResolver(
                address: "gw:28888", routing: .header, keys: LiveKeys(try KeyRing(active: "a", keys: ["a": [1, 2, 3]]))),
            routes: routes, limits: RequestLimits(), rules: rules, keys: self.keys,
            tenants: tenants.map { LiveTenants($0) }, provider: provider,
            proxy: ServerProxy(
                directory: routes, group: MultiThreadedEventLoopGroup.singleton,
                codes: .init(sandboxNotFound: "DOCKER::SANDBOX_NOT_FOUND", invalidPort: "DOCKER::INVALID_PORT"),
                logger: logger),
            logger: logger,
            readiness: Readiness([
                ReadinessCheck("runtime") {
                    do throws(RuntimeError) { try await runtime.checkReady() } catch { return "\(error)" }
                    return nil
                },
                ReadinessCheck("store") {
                    do throws(StoreError) { try await store.checkWrite() } catch { return "\(error)" }
                    return nil
                },
            ]), pages: pages, audit: audit, accessLog: accessLog, metricsText: { "metrics" })
    }

    private static func guards(_ runtime: FakeRuntime, _ egress: FakeEgress) -> SandboxGuards {
        SandboxGuards(runtime: runtime, machine: egress) { _, _ in fatalError("nothing here has a sidecar") }
    }

    /// Another server on the same store, runtime and guard, as after a restart.
    func restarted() -> SandboxService {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let routes = routes
        return SandboxService(
            runtime: runtime, egress: Self.guards(runtime, egress), store: everything, owner: "test", logger: logger,
            execdToken: { routes.execdToken(of: $0) }
        ) { routes.set($0, $1) }
    }
}
