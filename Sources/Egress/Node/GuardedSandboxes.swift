import DNSFilter
import Logging
import Netfilter
import NetworkPolicy
import Synchronization

/// The sandboxes that a node guards. A sandbox's kernel rules, DNS attachment and flow check are set up and torn down
/// together here. Methods that wait for the kernel or the disk block.
final class GuardedSandboxes: Sendable {
    private struct Guarded {
        let guardian: EgressGuard
        let client: DNSClient
        /// Its number at the flow check; nil if flows are not checked.
        let checks: UInt64?
        let identity: NamespaceIdentity
    }

    private struct State {
        var guarded: [String: Guarded] = [:]
        /// Sandboxes being protected or released right now.
        var busy: Set<String> = []
    }

    let settings: GuardSettings
    let store: PolicyStore
    private let dns: DNSServer
    /// `nil` if flows are not checked.
    private let flowChecker: FlowChecker?
    private let logger: Logger
    private let state = Mutex(State())

    init(settings: GuardSettings, store: PolicyStore, dns: DNSServer, flowChecker: FlowChecker?, logger: Logger) {
        self.settings = settings
        self.store = store
        self.dns = dns
        self.flowChecker = flowChecker
        self.logger = logger
    }

    var identifiers: [String] { state.withLock { $0.guarded.keys.sorted() } }
    var guardians: [EgressGuard] { state.withLock { $0.guarded.values.map(\.guardian) } }

    func guardian(of id: String) throws(EgressError) -> EgressGuard {
        guard let guarded = state.withLock({ $0.guarded[id] }) else { throw .notGuarded(id) }
        return guarded.guardian
    }

    /// Guards a sandbox, or replaces the policy of one that is guarded already.
    func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) throws(EgressError) {
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

    /// Does nothing for a sandbox that is not guarded.
    func release(_ id: String) throws(EgressError) {
        try exclusively(id) { () throws(EgressError) in
            forget(id)
            try store.remove(id)
        }
    }

    /// Takes over the sandboxes of an earlier process. A failure with one is logged and does not affect the others; its
    /// rules stay in the kernel unchanged.
    func recover() throws(EgressError) {
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

    /// One protect or release of a sandbox at a time; a second one is refused, not queued.
    private func exclusively(_ id: String, _ body: () throws(EgressError) -> Void) throws(EgressError) {
        guard state.withLock({ $0.busy.insert(id).inserted }) else {
            throw .kernel("sandbox \(id) is being protected or released by another request")
        }
        defer { _ = state.withLock { $0.busy.remove(id) } }
        try body()
    }

    /// Installs the rules before attaching to the filter. A query that arrives in between waits in the socket.
    private func begin(
        _ record: GuardRecord, namespace: NetworkNamespace, identity: NamespaceIdentity
    ) throws(EgressError) {
        let (sockets, surroundings, devices) = try NamespaceRules.inside(namespace) { () throws(EgressError) in
            (try GuardSockets.open(), LinkSurroundings.current(), LinkSurroundings.devices())
        }
        let guardian: EgressGuard
        var checkPoint: FlowChecker.Attachment?
        do throws(EgressError) {
            let kernel = try NamespaceRules(namespace: namespace, local: surroundings.local)
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
}
