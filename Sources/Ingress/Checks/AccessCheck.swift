import NIOHTTP1
import SecureAccess
import Synchronization

/// The settings of access checks, shared by all event loops.
package struct AccessRules: Sendable {
    /// The keys that verify signed routes; without any no signed route is valid.
    package var keys: LiveKeys?
    /// Whether tokens of version 1 are accepted. They have only 32 bits, and do not carry an epoch.
    package var acceptsVersion1 = true
    /// Seconds since 1970.
    package var now: @Sendable () -> UInt64
    let budget: FailureBudget
    /// Tokens of version 1 that any event loop has verified.
    let known: KnownTokens?

    package init(keys: LiveKeys?, budget: FailureBudget, now: @escaping @Sendable () -> UInt64) {
        self.keys = keys
        self.budget = budget
        self.now = now
        known = keys.map { KnownTokens(keys: $0) }
    }
}

/// Verified tokens of version 1 of all event loops. Only consulted while new tokens are not checked because of
/// failures.
final class KnownTokens: Sendable {
    private let tokens: Mutex<VerifiedTokens>

    init(keys: LiveKeys) { tokens = Mutex(VerifiedTokens(keys: keys)) }

    func add(_ token: RouteToken, epoch: AccessEpoch, now: UInt64) {
        tokens.withLock { try? $0.verify(token, now: now, epoch: epoch) }
    }

    func contains(_ token: RouteToken, epoch: AccessEpoch) -> Bool {
        tokens.withLock { $0.hasSeen(token, epoch: epoch) }
    }
}

/// What a request must show to reach a sandbox, from the directory.
struct AccessRequirement: Hashable, Sendable {
    /// Nil if access is open.
    var credentialHash: [UInt8]?
    var epoch: AccessEpoch

    /// Used when there is no such sandbox, so that the check takes as long as for one that exists.
    static let nobody = AccessRequirement(
        credentialHash: SecureRandom.bytes(SHA256Digest.length), epoch: AccessEpoch(birth: .max))
}

/// Decides whether a request may reach a sandbox. Everything presented must be valid: a valid signature does not make
/// up for a wrong header, nor the other way round. Use one for each event loop; it remembers the tokens it has
/// verified.
final class AccessCheck {
    enum Verdict: Hashable {
        case permitted
        /// Nothing was presented where something is needed, or a genuine token is no longer valid.
        case refused
        /// Something invalid was presented too often, or a new token that could be a guess while the budget is used up.
        case throttled(seconds: Int)
    }

    private enum Finding {
        case right, nothing, late
        case wrong(FailureBudget.Kind)
        case unchecked(seconds: Int)
    }

    private let rules: AccessRules
    private var verified: VerifiedTokens?

    init(_ rules: AccessRules) {
        self.rules = rules
        verified = rules.keys.map { VerifiedTokens(keys: $0) }
    }

    /// - Parameters:
    ///   - sandbox: the sandbox named in the request, whether it exists or not.
    ///   - client: its address; nil on a unix socket.
    func verdict(
        _ headers: HTTPHeaders, token: RouteToken?, sandbox: String, for entrance: AccessRequirement, client: String?
    ) -> Verdict {
        switch finding(headers, token, sandbox, entrance, client) {
        case .right: return .permitted
        case .nothing, .late: return .refused
        case .wrong(let kind):
            return rules.budget.fail(kind, client, sandbox).map { .throttled(seconds: $0) } ?? .refused
        case .unchecked(let seconds):
            rules.budget.noteThrottled()
            return .throttled(seconds: seconds)
        }
    }

    /// Seconds since 1970.
    var now: UInt64 { rules.now() }

    /// Whether a token is signed with a valid key and has not expired. A failure is not counted, so only use this for
    /// tokens that cannot be guessed.
    func isGenuine(_ token: RouteToken, epoch: AccessEpoch) -> Bool {
        guard verified != nil else { return false }
        do throws(RouteTokenError) {
            try verified!.verify(token, now: rules.now(), epoch: epoch)
            return true
        } catch { return false }
    }

    private func finding(
        _ headers: HTTPHeaders, _ token: RouteToken?, _ sandbox: String, _ entrance: AccessRequirement,
        _ client: String?
    ) -> Finding {
        var isOpen = true
        if let hash = entrance.credentialHash {
            let presented = headers[EndpointCredential.header]
            guard presented.count <= 1 else { return .wrong(.credential) }
            if let credential = presented.first {
                guard EndpointCredential.matches(credential, hash: hash) else { return .wrong(.credential) }
            } else {
                isOpen = false
            }
        }
        guard let token else { return isOpen ? .right : .nothing }
        return verify(token, entrance.epoch, client)
    }

    private func verify(_ token: RouteToken, _ epoch: AccessEpoch, _ client: String?) -> Finding {
        guard verified != nil else { return .wrong(.signature) }
        let now = rules.now()
        var isNew = false
        if token.version == .one {
            guard rules.acceptsVersion1 else { return .wrong(.signature) }
            isNew = !verified!.hasSeen(token, epoch: epoch)
            if isNew, let wait = rules.budget.wait(client, token.sandbox),
                !rules.known!.contains(token, epoch: epoch)
            {
                return .unchecked(seconds: wait)
            }
        }
        do throws(RouteTokenError) {
            try verified!.verify(token, now: now, epoch: epoch)
            if isNew { rules.known!.add(token, epoch: epoch, now: now) }
            return .right
        } catch {
            return error == .expired || error == .revoked ? .late : .wrong(.signature)
        }
    }
}
