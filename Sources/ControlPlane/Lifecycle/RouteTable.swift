import Ingress
import SecureAccess
import Synchronization

/// The endpoint directory of this server: what its catalog says, in the form in which the gateway asks for it.
public final class RouteTable: EndpointDirectory {
    private struct Entry: Sendable {
        var state: SandboxState
        var network: SandboxNetwork?
        var incarnation: String
        var credentialHash: [UInt8]?
        var epoch: AccessEpoch
        /// What its execd is told, worked out once and not for each request.
        var execdHeaders: [Backend.Header]
        /// Seconds by which an access prolongs the sandbox's life; nil where none does.
        var renewal: Int?
        /// When an access last asked for that.
        var asked: ContinuousClock.Instant?
    }

    private let policySocket: String
    private let credentialKey: [UInt8]
    private let renewals: Renewals?
    private let entries = Mutex<[String: Entry]>([:])

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

    /// What the sandbox's execd asks for; the gateway says it in the client's place.
    func execdToken(of id: String) -> String { EndpointCredential.deriveExecdToken(sandbox: id, key: credentialKey) }

    /// Takes over a change; nil for a sandbox that is gone.
    func set(_ id: String, _ sandbox: Sandbox?) {
        let renewal = renewals == nil ? nil : sandbox?.renewal
        let entry = sandbox.map { sandbox in
            Entry(
                state: sandbox.status.state, network: sandbox.network, incarnation: sandbox.incarnation,
                credentialHash: credential(of: sandbox).map(EndpointCredential.hash), epoch: sandbox.accessEpoch,
                execdHeaders: [Backend.Header(Self.execdHeader, execdToken(of: id))], renewal: renewal)
        }
        entries.withLock { entries in
            let asked = entries[id]?.asked
            entries[id] = entry
            entries[id]?.asked = asked
        }
    }

    public func lookup(sandbox id: String, port: Int) -> EndpointLookup {
        guard let entry = entries.withLock({ $0[id] }) else { return .unknown }
        switch entry.state {
        case .running: break
        case .pending, .pausing, .paused, .resuming:
            return .notReady(
                "the sandbox is \(entry.state.rawValue)", credentialHash: entry.credentialHash, epoch: entry.epoch)
        case .stopping, .terminated, .failed: return .unknown
        }
        guard let network = entry.network else {
            return .notReady(
                "the sandbox has no network yet", credentialHash: entry.credentialHash, epoch: entry.epoch)
        }
        if port == Self.policyPort {
            return .found(
                Backend(
                    address: .unix(path: policySocket), pathPrefix: "/sandboxes/" + id, incarnation: entry.incarnation,
                    credentialHash: entry.credentialHash, epoch: entry.epoch))
        }
        return .found(
            Backend(
                address: .tcp(host: network.address, port: port), incarnation: entry.incarnation,
                credentialHash: entry.credentialHash, epoch: entry.epoch,
                headers: port == Self.execdPort ? entry.execdHeaders : []))
    }

    public func accessed(sandbox id: String, renew: Bool) {
        guard renew, let renewals else { return }
        let seconds: Int? = entries.withLock { entries in
            guard let seconds = entries[id]?.renewal else { return nil }
            let now = renewals.now()
            if let asked = entries[id]!.asked, now - asked < renewals.interval { return nil }
            entries[id]!.asked = now
            return seconds
        }
        if let seconds { renewals.renew(id, seconds) }
    }

    /// A renewal that was asked for has failed: the next access asks again.
    func renewalFailed(_ id: String) { entries.withLock { $0[id]?.asked = nil } }

    /// The port under which clients find a sandbox's policy API (CLIENTS.md, section 9).
    static let policyPort = 18080
    static let execdPort = 44772
    private static let execdHeader = "X-EXECD-ACCESS-TOKEN"
}
