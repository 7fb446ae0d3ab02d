import Ingress
import SecureAccess
import Synchronization

/// The endpoint directory of this server: its catalog in the form that gateways need, here and in other processes.
package final class RouteTable: EndpointDirectory {
    private struct State: Sendable {
        var journal: DirectoryJournal
        /// Seconds by which an access extends a sandbox, for those that asked for it.
        var renewal: [String: Int] = [:]
        /// Sandboxes in a network namespace of this machine, its own included, by incarnation.
        var enterable: [String: String] = [:]
        /// When a renewal was last requested.
        var asked: [String: ContinuousClock.Instant] = [:]
        var observers: [@Sendable (EndedAccess) -> Void] = []
        var streams: [UInt64: AsyncStream<Void>.Continuation] = [:]
        var nextStream: UInt64 = 0
    }

    private let policySocket: String
    private let credentialKey: [UInt8]
    private let renewals: Renewals?
    private let state = Mutex(State(journal: DirectoryJournal(stream: Secrets.hexadecimal(SecureRandom.bytes(8)))))

    /// Renewal on access (OSEP-0009).
    struct Renewals: Sendable {
        /// The least time between two renewals of one sandbox.
        var interval: Duration
        /// Called on an event loop with the sandbox to renew and the seconds from now. Must not block.
        var renew: @Sendable (_ id: String, _ seconds: Int) -> Void
        var now: @Sendable () -> ContinuousClock.Instant = { .now }
    }

    /// - Parameters:
    ///   - policySocket: the socket of the policy API of all sandboxes.
    ///   - credentialKey: the key from which endpoint credentials are derived.
    ///   - renewals: nil if renewal on access is off.
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

    /// The token of the sandbox's execd. Clients get it with execd's endpoint; gateways never add it.
    func execdToken(of id: String) -> String { EndpointCredential.deriveExecdToken(sandbox: id, key: credentialKey) }

    // MARK: changes

    /// Applies a change; nil for a sandbox that is gone. Connections whose access has ended are closed.
    func set(_ id: String, _ sandbox: Sandbox?) {
        let entry = sandbox.flatMap(entry), renewal = renewals == nil ? nil : sandbox?.renewal
        let (ended, observers, streams) = state.withLock { state in
            let (old, isChange) = state.journal.set(id, entry)
            if let old { state.enterable[old.incarnation] = nil }
            if let sandbox, entry?.host != nil, sandbox.network?.isHere == true {
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
            if sandbox.network?.sharesMachine == true {
                entry.dialsInside = true
            } else {
                entry.dialsServicesOnly = sandbox.network?.published != nil ? true : nil
            }
            if entry.host == nil { entry.notReady = "the sandbox has no network yet" }
        case .pending, .pausing, .paused, .resuming: entry.notReady = "the sandbox is \(state.rawValue)"
        case .stopping, .terminated, .failed: return nil
        }
        return entry
    }

    /// Ports with a special route; others are dialled at the sandbox's address.
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

    package func whenAccessEnds(_ observer: @escaping @Sendable (EndedAccess) -> Void) {
        state.withLock { $0.observers.append(observer) }
    }

    // MARK: questions

    package func lookup(sandbox id: String, port: Int) -> EndpointLookup {
        state.withLock { $0.journal.entries[id] }?.lookup(port) ?? .unknown
    }

    /// The id of the sandbox, if it runs in a network namespace of this machine.
    func enterable(_ incarnation: String) -> String? { state.withLock { $0.enterable[incarnation] } }

    package func accessed(sandbox id: String, renew: Bool) {
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

    /// Whether accesses renew the sandbox.
    func renews(_ id: String) -> Bool { state.withLock { $0.renewal[id] != nil } }

    /// Call this when a renewal has failed, so that the next access requests it again.
    func renewalFailed(_ id: String) { state.withLock { $0.asked[id] = nil } }

    // MARK: gateways in other processes

    /// The current state.
    var position: DirectoryPosition { state.withLock { $0.journal.position } }

    /// The first messages for a gateway at position `known`.
    func opening(after known: DirectoryPosition?) -> (messages: [DirectoryMessage], position: DirectoryPosition) {
        state.withLock { ($0.journal.opening(after: known), $0.journal.position) }
    }

    /// The messages since then.
    func messages(after known: DirectoryPosition) -> (messages: [DirectoryMessage], position: DirectoryPosition) {
        state.withLock { ($0.journal.messages(after: known), $0.journal.position) }
    }

    /// Yields for each change, or once for several.
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

    /// The port of a sandbox's policy API for clients (docs/wire.md#policy).
    static let policyPort = 18080
    static let execdPort = 44772
}
