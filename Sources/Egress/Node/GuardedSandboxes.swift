import Glibc
import Logging
import Netfilter
import NetworkPolicy
import Synchronization

/// The sandboxes that a node guards. Methods that wait for the kernel or the disk block.
final class GuardedSandboxes: Sendable {
    private struct Guarded {
        let namespace: GuardedNamespace
        let identity: NamespaceIdentity

        var guardian: EgressGuard { namespace.guardian }
    }

    private struct State {
        var guarded: [String: Guarded] = [:]
        /// Sandboxes being protected or released right now.
        var busy: Set<String> = []
    }

    let settings: GuardSettings
    let store: PolicyStore
    /// Nil where the operator has none.
    let lists: OperatorLists?
    private let services: GuardServices
    private let logger: Logger
    private let state = Mutex(State())

    init(
        settings: GuardSettings, store: PolicyStore, lists: OperatorLists? = nil, services: GuardServices,
        logger: Logger
    ) {
        self.settings = settings
        self.store = store
        self.lists = lists
        self.services = services
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
                    logger.info("sandbox no longer guarded: its namespace is gone", metadata: ["sandbox": "\(id)"])
                    continue
                }
                try begin(record, namespace: NetworkNamespace(existing: record.namespacePath), identity: identity)
                logger.info("sandbox guarded again", metadata: ["sandbox": "\(id)"])
            } catch {
                logger.error(
                    "a sandbox of the previous guard could not be taken over",
                    metadata: ["sandbox": "\(id)", "error": "\(error)"])
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

    private func begin(
        _ record: GuardRecord, namespace: NetworkNamespace, identity: NamespaceIdentity
    ) throws(EgressError) {
        let guarded = Guarded(
            namespace: try GuardedNamespace(
                record, lists: lists, in: GuardPlace(namespace: namespace), settings: settings, services: services,
                logger: logger),
            identity: identity)
        state.withLock { $0.guarded[record.id] = guarded }
    }

    private func forget(_ id: String) {
        state.withLock { $0.guarded.removeValue(forKey: id) }?.namespace.end()
    }
}

/// Identifies the namespace behind a path, because a path may lead to another one after a sandbox was recreated.
struct NamespaceIdentity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64

    /// A path whose mount is gone is an ordinary file, on another device than namespaces.
    init(path: String) throws(EgressError) {
        let (own, status) = (try Self.status(of: "/proc/self/ns/net"), try Self.status(of: path))
        guard status.st_dev == own.st_dev else { throw .kernel("\(path) is not a namespace") }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }

    private static func status(of path: String) throws(EgressError) -> stat {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw .kernel("the namespace \(path) cannot be opened: \(String(cString: strerror(errno)))")
        }
        return status
    }
}
