import Ingress
import SecureAccess
import Synchronization

/// The endpoint directory of this server: what its catalog says, in the form in which gateways ask for it, here and in other
/// processes.
public final class RouteTable: EndpointDirectory {
    private struct State: Sendable {
        var journal: DirectoryJournal
        /// Seconds by which an access prolongs a sandbox's life, for those that want it.
        var renewal: [String: Int] = [:]
        /// Those that run in a network namespace of this machine, by incarnation.
        var enterable: [String: String] = [:]
        /// When an access last asked for that.
        var asked: [String: ContinuousClock.Instant] = [:]
        var observers: [@Sendable (EndedAccess) -> Void] = []
        var streams: [UInt64: AsyncStream<Void>.Continuation] = [:]
        var nextStream: UInt64 = 0
    }

    private let policySocket: String
    private let credentialKey: [UInt8]
    private let renewals: Renewals?
    private let state = Mutex(State(journal: DirectoryJournal(stream: Secrets.hexadecimal(SecureRandom.bytes(8)))))

    /// Prolonging sandboxes by access (OSEP-0009).
    struct Renewals: Sendable {
        /// Between two renewals of one sandbox.
        var interval: Duration
        /// Told on an event loop's thread which sandbox to prolong, and by how many seconds from now: must not block.
        var renew: @Sendable (_ id: String, _ seconds: Int) -> Void
        var now: @Sendable () -> ContinuousClock.Instant = { .now }
    }

    /// - Parameters:
    ///   - policySocket: where the guard serves the policy API of every sandbox.
    ///   - credentialKey: what endpoint credentials are derived from.
    ///   - renewals: nil where access prolongs nothing.
    init(policySocket: String, credentialKey: [UInt8], renewals: Renewals? = nil) {
        self.policySocket = policySocket
        self.credentialKey = credentialKey
        self.renewals = renewals
    }

    /// The static credential of a sandbox that was created with `secureAccess`; nil for one that is open.
    func credential(of sandbox: Sandbox) -> String? {
        guard sandbox.secureAccess else { return nil }
        return EndpointCredential.derive(
            sandbox: sandbox.id, epoch: Int(sandbox.revocations ?? 0), key: credentialKey)
    }

    /// What the sandbox's execd asks for. Clients are told it with execd's endpoint; no gateway says it in their place.
    func execdToken(of id: String) -> String { EndpointCredential.deriveExecdToken(sandbox: id, key: credentialKey) }

    // MARK: changes

    /// Takes over a change; nil for a sandbox that is gone. What was open to it for an access that has ended is cut.
    func set(_ id: String, _ sandbox: Sandbox?) {
        let entry = sandbox.flatMap(entry), renewal = renewals == nil ? nil : sandbox?.renewal
        let (ended, observers, streams) = state.withLock { state in
            let (old, isChange) = state.journal.set(id, entry)
            if let old { state.enterable[old.incarnation] = nil }
            if let sandbox, entry?.host != nil, sandbox.network?.namespacePath != nil {
                state.enterable[sandbox.incarnation] = id
            }
            state.renewal[id] = renewal
            if renewal == nil { state.asked[id] = nil }
            return (
                EndedAccess.between(old, entry), state.observers, isChange ? Array(state.streams.values) : []
            )
        }
        if let ended { for observer in observers { observer(ended) } }
        for stream in streams { stream.yield() }
    }

    private func entry(_ sandbox: Sandbox) -> DirectoryEntry? {
        let state = sandbox.status.state, id = sandbox.id
        var entry = DirectoryEntry(
            id: id, host: nil, incarnation: sandbox.incarnation, epoch: sandbox.accessEpoch,
            credentialHash: credential(of: sandbox).map(EndpointCredential.hash),
            services: services(of: sandbox), renews: renewals != nil && sandbox.renewal != nil)
        switch state {
        case .running:
            entry.host = sandbox.network?.address
            entry.dialsServicesOnly = sandbox.network?.published != nil ? true : nil
            if entry.host == nil { entry.notReady = "the sandbox has no network yet" }
        case .pending, .pausing, .paused, .resuming: entry.notReady = "the sandbox is \(state.rawValue)"
        case .stopping, .terminated, .failed: return nil
        }
        return entry
    }

    /// The ports that are not simply dialled at the sandbox's address.
    private func services(of sandbox: Sandbox) -> [DirectoryEntry.Service] {
        let policy =
            sandbox.network?.sidecar.map {
                DirectoryEntry.Service(port: Self.policyPort, host: $0.host, targetPort: $0.port)
            }
            ?? DirectoryEntry.Service(
                port: Self.policyPort, socket: policySocket, pathPrefix: "/sandboxes/" + sandbox.id)
        let published = (sandbox.network?.published ?? []).filter { $0.port != Self.policyPort }
        return [policy] + published.map { .init(port: $0.port, targetPort: $0.at) }
    }

    public func whenAccessEnds(_ observer: @escaping @Sendable (EndedAccess) -> Void) {
        state.withLock { $0.observers.append(observer) }
    }

    // MARK: questions

    public func lookup(sandbox id: String, port: Int) -> EndpointLookup {
        state.withLock { $0.journal.entries[id] }?.lookup(port) ?? .unknown
    }

    /// Which sandbox it is, where that runs in a network namespace of this machine.
    func enterable(_ incarnation: String) -> String? { state.withLock { $0.enterable[incarnation] } }

    public func accessed(sandbox id: String, renew: Bool) {
        guard renew, let renewals else { return }
        let seconds: Int? = state.withLock { state in
            guard let seconds = state.renewal[id] else { return nil }
            let now = renewals.now()
            if let asked = state.asked[id], now - asked < renewals.interval { return nil }
            state.asked[id] = now
            return seconds
        }
        if let seconds { renewals.renew(id, seconds) }
    }

    /// Whether an access would prolong the sandbox, sooner or later.
    func renews(_ id: String) -> Bool { state.withLock { $0.renewal[id] != nil } }

    /// A renewal that was asked for has failed: the next access asks again.
    func renewalFailed(_ id: String) { state.withLock { $0.asked[id] = nil } }

    // MARK: gateways in other processes

    /// The present state.
    var position: DirectoryPosition { state.withLock { $0.journal.position } }

    /// What a gateway is told first that has followed as far as `known`.
    func opening(after known: DirectoryPosition?) -> (messages: [DirectoryMessage], position: DirectoryPosition) {
        state.withLock { ($0.journal.opening(after: known), $0.journal.position) }
    }

    /// What has happened since.
    func messages(after known: DirectoryPosition) -> (messages: [DirectoryMessage], position: DirectoryPosition) {
        state.withLock { ($0.journal.messages(after: known), $0.journal.position) }
    }

    /// A word for each change, or for several together.
    func changes() -> AsyncStream<Void> {
        let (words, teller) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let number = state.withLock { state in
            state.nextStream += 1
            state.streams[state.nextStream] = teller
            return state.nextStream
        }
        teller.onTermination = { [weak self] _ in _ = self?.state.withLock { $0.streams.removeValue(forKey: number) } }
        return words
    }

    /// The port under which clients find a sandbox's policy API (docs/wire.md#policy).
    static let policyPort = 18080
    static let execdPort = 44772
}
