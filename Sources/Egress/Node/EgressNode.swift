import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Netfilter
import NetworkPolicy
import Synchronization

/// Guards every sandbox of this machine from one process. It opens its sockets inside each sandbox's namespace, where
/// only the DNS port is visible.
///
/// When the process ends, for whatever reason, the kernel's rules stay. The next process finds the sandboxes in the
/// state folder.
package final class EgressNode: NamespaceController {
    private let configuration: EgressConfiguration
    private let services: GuardServices
    private let sandboxes: GuardedSandboxes
    private let upkeep: NodeUpkeep
    private let logger: Logger
    private let servers = Mutex<[HTTPServer]>([])
    private let readiness: Readiness
    private let presets: Mutex<Presets>

    /// Starts the DNS filter, takes over every sandbox that an earlier process guarded, and serves the policy API.
    package init(configuration: EgressConfiguration, logger: Logger) async throws {
        self.configuration = configuration
        presets = Mutex(configuration.presets)
        let logger = logger.skipping(configuration.lists)
        self.logger = logger
        services = try GuardServices(dns: configuration.dns, flowCheck: configuration.flowCheck)
        let store = try PolicyStore(folder: configuration.stateDirectory)
        sandboxes = GuardedSandboxes(
            settings: GuardSettings(configuration), store: store, lists: configuration.lists, services: services,
            logger: logger)
        readiness = Readiness([
            ReadinessCheck("state") {
                await Blocking.attempt { () throws(EgressError) in try store.checkWrite() }
            }
        ])
        upkeep = NodeUpkeep(sandboxes, logger: logger)
        do {
            try services.start()
            try await Blocking.run { [sandboxes] () throws(EgressError) in try sandboxes.recover() }
            try await serve()
        } catch {
            await shutdown()
            throw error
        }
        upkeep.start()
    }

    /// Stops serving. Enforcement stays in the kernel; names no longer resolve in the sandboxes.
    package func shutdown() async {
        upkeep.stop()
        // Event streams never end by themselves, and the server would wait for them.
        for guardian in sandboxes.guardians { guardian.watch.log.close() }
        let stopped = servers.withLock { servers in
            defer { servers = [] }
            return servers
        }
        for server in stopped { await server.shutdown() }
        services.stop()
        configuration.denyWebhook?.close()
        await configuration.auditLog?.close()
    }

    /// The operator's; nil for none.
    package var lists: OperatorLists? { configuration.lists }

    /// Whether the lists of now are not in force, in one sandbox at least; nil where there are none.
    package var hasStaleLists: Bool? {
        guard let lists else { return nil }
        return lists.problem != nil || sandboxes.guardians.contains { $0.isBehind(lists) }
    }

    /// Counts of denials, for at most `limit` sandboxes.
    package func counts(limit: Int) -> [SandboxCounts] {
        sandboxes.guardians.prefix(limit).map { guardian in
            let counts = guardian.audit.counts
            return SandboxCounts(
                id: guardian.id, namesDenied: counts.denied, budgetRefusals: counts.exceeded,
                rules: guardian.record.policy.rules.count)
        }
    }

    /// For policies from now on. Those in force keep the rules that they have.
    package func use(_ presets: Presets) { self.presets.withLock { $0 = presets } }

    func renewLearned() async { await upkeep.renewLearned() }
    func restoreRules() async { await upkeep.restoreRules() }

    // MARK: NamespaceController

    package var obstacle: String? { get async { await readiness.findings.compactMap(\.problem).first } }

    package var guarded: [String] { sandboxes.identifiers }

    package func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(EgressError) {
        guard SandboxIdentifier.isValid(id) else { throw .invalidIdentifier(id) }
        guard policy.ruleCount <= configuration.maxRules else {
            throw .tooManyRules(count: policy.ruleCount, limit: configuration.maxRules)
        }
        try await Blocking.run { [sandboxes] () throws(EgressError) in
            try sandboxes.protect(id, namespace: namespace, policy: policy)
        }
        logger.info("sandbox guarded", metadata: ["sandbox": "\(id)"])
    }

    package func release(_ id: String) async {
        guard SandboxIdentifier.isValid(id) else { return }
        do {
            try await Blocking.run { [sandboxes] () throws(EgressError) in try sandboxes.release(id) }
        } catch {
            logger.error("releasing a sandbox failed", metadata: ["sandbox": "\(id)", "error": "\(error)"])
        }
    }

    package func status(_ id: String) async throws(EgressError) -> PolicyStatus { try guardian(of: id).status }

    @discardableResult
    package func replace(_ id: String, with policy: Policy) async throws(EgressError) -> PolicyStatus {
        try await change(id, .replace(policy))
    }

    @discardableResult
    package func patch(_ id: String, _ rules: [Rule]) async throws(EgressError) -> PolicyStatus {
        try await change(id, .merge(rules))
    }

    @discardableResult
    package func removeRules(_ id: String, _ targets: [RuleSelector]) async throws(EgressError) -> PolicyStatus {
        try await change(id, .remove(targets))
    }

    package func token(of id: String) async throws(EgressError) -> String { try guardian(of: id).token }

    private func change(_ id: String, _ change: PolicyChange) async throws(EgressError) -> PolicyStatus {
        let guardian = try guardian(of: id)
        return try await Blocking.run { [store = sandboxes.store] () throws(EgressError) in
            try guardian.change(store: store, change)
        }
    }

    func guardian(of id: String) throws(EgressError) -> EgressGuard { try sandboxes.guardian(of: id) }

    // MARK: Serving

    private func serve() async throws {
        let api = PolicyAPI(
            controller: self, maxRules: configuration.maxRules, maxBodyBytes: configuration.maxBodyBytes,
            presets: self.presets.withLock { $0 }, tracer: configuration.tracer, logger: logger)
        let open = configuration.openListeners
        try await listen(on: open.policy, or: .unix(path: configuration.socketPath, mode: 0o600), api.http)
        if let path = configuration.adminSocketPath {
            var exact = api
            exact.form = .record
            let admin = AdminAPI(node: self, policyAPI: exact, metrics: configuration.metrics, readiness: readiness)
            try await listen(on: open.admin, or: .unix(path: path, mode: 0o600), admin.http)
        }
        if let address = configuration.metricsAddress, let metrics = configuration.metrics {
            let host = address.host.map { "\($0)" } ?? "::"
            var http = api.api()
            http.on(.GET, "/metrics") { _ in .metrics(metrics()) }
            http.on(.GET, "/ready") { [readiness] _ in
                ReadyAnswer(await readiness.findings, showsChecks: false).reply
            }
            try await listen(on: open.metrics, or: .tcp(host: host, port: Int(address.port)), http)
        }
    }

    private func listen(on open: CInt?, or address: HTTPBind, _ http: HTTPAPI) async throws {
        let server = HTTPServer(group: MultiThreadedEventLoopGroup.singleton, logger: logger, application: http)
        servers.withLock { $0.append(server) }
        try await server.start(on: open.map { .open(descriptor: $0) } ?? address)
    }
}

extension EgressNode: EgressInspector, EgressQuestions {
    package func explain(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> PolicyExplanation {
        try guardian(of: id).explain(question)
    }

    package func suggestion(_ id: String) async throws(EgressError) -> PolicySuggestion {
        let guardian = try guardian(of: id)
        return try await Blocking.run { () throws(EgressError) in guardian.suggest() }
    }

    package func effectivePolicy(_ id: String) async throws(EgressError) -> EffectivePolicy {
        try guardian(of: id).effectivePolicy(lists)
    }

    package func events(_ id: String) async throws(EgressError) -> EventLog { try guardian(of: id).watch.log }
}

/// Counters of one sandbox since its guard started.
package struct SandboxCounts: Hashable, Sendable {
    package var id: String
    package var namesDenied: UInt64
    package var budgetRefusals: UInt64
    package var rules: Int
}
