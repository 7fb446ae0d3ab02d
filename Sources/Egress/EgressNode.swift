import DNSFilter
import Glibc
import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Netfilter
import NetworkPolicy
import Synchronization

/// Guards every sandbox of this machine from one process (DESIGN.md, decision 6): its sockets are opened inside each
/// sandbox's namespace, where nothing but the DNS port is to be seen of it.
///
/// When the process ends, however it ends, the kernel's rules stay; the next one finds them through its state folder.
public final class EgressNode: EgressController {
    private struct Guarded {
        let guardian: EgressGuard
        let client: DNSClient
        /// Its number at the flow check, where there is one.
        let checks: UInt64?
        let identity: NamespaceIdentity
    }

    private struct State {
        var guarded: [String: Guarded] = [:]
        /// Sandboxes being protected or released right now.
        var busy: Set<String> = []
    }

    private let configuration: EgressConfiguration
    private let settings: GuardSettings
    private let store: PolicyStore
    private let dns: DNSServer
    /// `nil` where flows are not checked.
    private let flowChecker: FlowChecker?
    private let logger: Logger
    private let state = Mutex(State())
    private let servers = Mutex<[HTTPServer]>([])
    private let tasks = Mutex<[Task<Void, Never>]>([])
    private let metering = Mutex<Task<Void, Never>?>(nil)

    /// Starts the DNS filter, takes over every sandbox that an earlier process guarded, and serves the policy API.
    public init(configuration: EgressConfiguration, logger: Logger) async throws {
        self.configuration = configuration
        self.logger = logger
        settings = GuardSettings(configuration)
        store = try PolicyStore(folder: configuration.stateDirectory)
        dns = try DNSServer(configuration: configuration.dns)
        flowChecker = try configuration.flowCheck.map { try FlowChecker($0, mark: .random()) }
        try dns.start()
        do {
            try flowChecker?.start()
            try await Blocking.run { [self] () throws(EgressError) in try recover() }
            try await serve()
            if settings.budgets.limitsTraffic { readMeters() }
        } catch {
            await shutdown()
            throw error
        }
        let renewal = Task { [weak self] in
            // Until it is cancelled or the node is gone.
            while (try? await Task.sleep(for: .seconds(EgressGuard.renewalInterval))) != nil {
                guard let self else { return }
                await self.renewLearned()
            }
        }
        let restoration = Task { [weak self] in
            while (try? await Task.sleep(for: .seconds(EgressGuard.restorationInterval))) != nil {
                guard let self else { return }
                await self.restoreRules()
            }
        }
        tasks.withLock { $0 = [renewal, restoration] }
    }

    /// Stops serving. Enforcement stays in the kernel; names no longer resolve in the sandboxes.
    public func shutdown() async {
        tasks.withLock { tasks in
            for task in tasks { task.cancel() }
        }
        // Streams of events never end by themselves, and a server waits for its requests.
        closeEventLogs()
        metering.withLock { $0 }?.cancel()
        let stopped = servers.withLock { servers in
            defer { servers = [] }
            return servers
        }
        for server in stopped { await server.shutdown() }
        dns.stop()
        flowChecker?.stop()
        configuration.denyWebhook?.close()
        await configuration.auditLog?.close()
    }

    /// Asks the kernel every few seconds what its budgets have refused.
    private func readMeters() {
        let task = Task { [weak self] in
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(2))
                guard let self else { return }
                let guards = state.withLock { $0.guarded.values.map(\.guardian) }
                try? await Blocking.run { () throws(EgressError) in for guardian in guards { guardian.readMeter() } }
            }
        }
        metering.withLock { $0 = task }
    }

    /// What each guarded sandbox was denied, of so many sandboxes at most.
    public func counts(limit: Int) -> [SandboxCounts] {
        let guards = state.withLock { $0.guarded.values.map(\.guardian) }
        return guards.prefix(limit).map { guardian in
            let counts = guardian.audit.counts
            return SandboxCounts(
                id: guardian.id, namesDenied: counts.denied, budgetRefusals: counts.exceeded,
                rules: guardian.record.policy.rules.count)
        }
    }

    private func closeEventLogs() {
        for guarded in state.withLock({ Array($0.guarded.values) }) { guarded.guardian.watch.log.close() }
    }

    /// Keeps open what flows: one look at all sandboxes.
    func renewLearned() async {
        for (id, guarded) in state.withLock({ $0.guarded }) {
            do {
                try await Blocking.run { () throws(EgressError) in _ = try guarded.guardian.renewLearned() }
            } catch {
                logger.warning(
                    "open addresses were not prolonged", metadata: ["sandbox": "\(id)", "error": "\(error)"])
            }
        }
    }

    /// Looks at all sandboxes' rules, of which others with power over a namespace may have taken some away.
    func restoreRules() async {
        let guardians = state.withLock { $0.guarded.values.map(\.guardian) }
        // The program ends when this throws: the rules stay as they are.
        try? await Blocking.run { () throws(EgressError) in
            for guardian in guardians {
                do throws(EgressError) {
                    try guardian.restore()
                } catch {
                    guardian.audit.notRestored(error)
                }
            }
        }
    }

    // MARK: EgressController

    public var guarded: [String] { state.withLock { $0.guarded.keys.sorted() } }

    public func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(EgressError) {
        guard SandboxIdentifier.isValid(id) else { throw .invalidIdentifier(id) }
        guard policy.ruleCount <= configuration.maxRules else {
            throw .tooManyRules(count: policy.ruleCount, limit: configuration.maxRules)
        }
        try await Blocking.run { [self] () throws(EgressError) in
            try exclusively(id) { () throws(EgressError) in
                let identity = try NamespaceIdentity(path: namespace.path)
                if let present = state.withLock({ $0.guarded[id] }) {
                    if present.identity == identity {
                        _ = try present.guardian.change(store: store, .replace(policy))
                        return
                    }
                    forget(id)
                }
                var random = SystemRandomNumberGenerator()
                let record = GuardRecord(
                    id: id, namespacePath: namespace.path, token: PolicyToken.generate(using: &random), policy: policy)
                try begin(record, namespace: namespace, identity: identity)
                do throws(EgressError) {
                    try store.stage(record, after: .replace(policy)).publish()
                } catch {
                    forget(id)
                    throw error
                }
            }
        }
        logger.info("sandbox guarded", metadata: ["sandbox": "\(id)"])
    }

    public func release(_ id: String) async {
        guard SandboxIdentifier.isValid(id) else { return }
        do {
            try await Blocking.run { [self] () throws(EgressError) in
                try exclusively(id) { () throws(EgressError) in
                    forget(id)
                    try store.remove(id)
                }
            }
        } catch {
            logger.error("releasing a sandbox failed", metadata: ["sandbox": "\(id)", "error": "\(error)"])
        }
    }

    public func status(_ id: String) async throws(EgressError) -> PolicyStatus { try guardian(of: id).status }

    @discardableResult
    public func replace(_ id: String, with policy: Policy) async throws(EgressError) -> PolicyStatus {
        try await change(id, .replace(policy))
    }

    @discardableResult
    public func patch(_ id: String, _ rules: [Rule]) async throws(EgressError) -> PolicyStatus {
        try await change(id, .merge(rules))
    }

    @discardableResult
    public func removeRules(_ id: String, _ targets: [Target]) async throws(EgressError) -> PolicyStatus {
        try await change(id, .remove(targets))
    }

    public func token(of id: String) async throws(EgressError) -> String { try guardian(of: id).token }

    private func change(_ id: String, _ change: PolicyChange) async throws(EgressError) -> PolicyStatus {
        let guardian = try guardian(of: id)
        let store = store
        return try await Blocking.run { () throws(EgressError) in try guardian.change(store: store, change) }
    }

    func guardian(of id: String) throws(EgressError) -> EgressGuard {
        guard let guarded = state.withLock({ $0.guarded[id] }) else { throw .notGuarded(id) }
        return guarded.guardian
    }

    // MARK: Beginning and ending

    /// One protect or release of a sandbox at a time; a second one is refused, not queued.
    private func exclusively(_ id: String, _ body: () throws(EgressError) -> Void) throws(EgressError) {
        guard state.withLock({ $0.busy.insert(id).inserted }) else {
            throw .kernel("sandbox \(id) is being protected or released by another request")
        }
        defer { _ = state.withLock { $0.busy.remove(id) } }
        try body()
    }

    /// Rules first, then the filter: a query that comes between waits in the socket.
    private func begin(
        _ record: GuardRecord, namespace: NetworkNamespace, identity: NamespaceIdentity
    ) throws(EgressError) {
        let kernel = try NamespaceRules(namespace: namespace)
        let (sockets, surroundings, devices) = try NamespaceRules.inside(namespace) { () throws(EgressError) in
            (try GuardSockets.open(), LinkSurroundings.current(), LinkSurroundings.devices())
        }
        let guardian: EgressGuard
        var checkPoint: FlowChecker.Entrance?
        do throws(EgressError) {
            try kernel.refusePacketSockets(on: devices)
            checkPoint = try flowChecker?.enter(namespace)
            let meter = try TrafficMeter(settings.budgets, namespace: namespace)
            guardian = try EgressGuard(
                record: record, dnsPort: sockets.port, flowCheck: checkPoint?.point, surroundings: surroundings,
                kernel: kernel, settings: settings, meter: meter, logger: logger)
        } catch {
            sockets.close()
            checkPoint?.close()
            throw error
        }
        let client = dns.attach(sockets.dns, policy: guardian)
        let checks = checkPoint.flatMap { flowChecker?.attach($0, guardian) }
        state.withLock {
            $0.guarded[record.id] = Guarded(guardian: guardian, client: client, checks: checks, identity: identity)
        }
    }

    private func forget(_ id: String) {
        guard let gone = state.withLock({ $0.guarded.removeValue(forKey: id) }) else { return }
        dns.detach(gone.client)
        if let checks = gone.checks { flowChecker?.detach(checks) }
        gone.guardian.watch.log.close()
    }

    /// Takes over what an earlier process left. One sandbox's trouble is logged and is not another's: its rules are
    /// in the kernel as they were.
    private func recover() throws(EgressError) {
        for id in try store.identifiers() {
            do throws(EgressError) {
                let record = try store.load(id)
                guard let identity = try? NamespaceIdentity(path: record.namespacePath) else {
                    try store.remove(id)
                    logger.info("sandbox is gone", metadata: ["sandbox": "\(id)"])
                    continue
                }
                try begin(record, namespace: NetworkNamespace(existing: record.namespacePath), identity: identity)
                logger.info("sandbox guarded again", metadata: ["sandbox": "\(id)"])
            } catch {
                logger.error("taking over a sandbox failed", metadata: ["sandbox": "\(id)", "error": "\(error)"])
            }
        }
    }

    // MARK: Serving

    private func serve() async throws {
        let api = PolicyAPI(
            controller: self, maxRules: configuration.maxRules, maxBodyBytes: configuration.maxBodyBytes,
            presets: configuration.presets, logger: logger)
        try await listen(on: .unix(path: configuration.socketPath, mode: 0o600), api.handler)
        if let path = configuration.adminSocketPath {
            let admin = AdminAPI(policyAPI: api, metrics: configuration.metrics)
            try await listen(on: .unix(path: path, mode: 0o600), admin.handler)
        }
        if let address = configuration.metricsAddress, let metrics = configuration.metrics {
            let host = address.host.map { "\($0)" } ?? "::"
            try await listen(on: .tcp(host: host, port: Int(address.port))) { request, writer in
                let isAsked = request.method == .GET && request.path == "/metrics"
                try? await writer.send(isAsked ? .metrics(metrics()) : .notFound)
            }
        }
    }

    private func listen(on address: HTTPBind, _ handler: @escaping HTTPHandler) async throws {
        let server = HTTPServer(group: MultiThreadedEventLoopGroup.singleton, logger: logger, handler: handler)
        servers.withLock { $0.append(server) }
        try await server.start(on: address)
    }
}

extension EgressNode: EgressInspector {
    func explain(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> PolicyExplanation {
        try guardian(of: id).explain(question)
    }

    func suggestion(_ id: String) async throws(EgressError) -> PolicySuggestion { try guardian(of: id).suggestion }

    func events(_ id: String) async throws(EgressError) -> EventLog { try guardian(of: id).watch.log }
}
