import NIOConcurrencyHelpers
import NIOHTTP1
import SecureAccess

/// What checks are made with, the same on every event loop.
public struct AccessRules: Sendable {
    /// Verify signed routes; without keys none is valid.
    public var keys: LiveKeys?
    /// Tokens of version 1 have a code of 32 bits and cannot be revoked one by one.
    public var acceptsVersion1 = true
    /// Seconds since 1970.
    public var now: @Sendable () -> UInt64
    let budget: FailureBudget
    /// The tokens of version 1 that some event loop has verified.
    let known: KnownTokens?

    public init(keys: LiveKeys?, budget: FailureBudget, now: @escaping @Sendable () -> UInt64) {
        self.keys = keys
        self.budget = budget
        self.now = now
        known = keys.map { KnownTokens(keys: $0) }
    }
}

/// Tokens of version 1 that have been verified, for all event loops: asked only where a new one is not looked at.
final class KnownTokens: Sendable {
    private let tokens: NIOLockedValueBox<VerifiedTokens>

    init(keys: LiveKeys) { tokens = NIOLockedValueBox(VerifiedTokens(keys: keys)) }

    func add(_ token: RouteToken, epoch: AccessEpoch, now: UInt64) {
        tokens.withLockedValue { try? $0.verify(token, now: now, epoch: epoch) }
    }

    func contains(_ token: RouteToken, epoch: AccessEpoch) -> Bool {
        tokens.withLockedValue { $0.hasSeen(token, epoch: epoch) }
    }
}

/// What the directory knows of a sandbox that decides who may enter.
struct AccessRequirement: Hashable, Sendable {
    /// Nil where access is open.
    var credentialHash: [UInt8]?
    var epoch: AccessEpoch

    /// Compared against where no sandbox is, so that it takes as long as where one is.
    static let nobody = AccessRequirement(
        credentialHash: SecureRandom.bytes(SHA256Digest.length), epoch: AccessEpoch(birth: .max))
}

/// Decides whether a request may reach a sandbox. Whatever is presented must be true: a wrong header is not made good by
/// a valid signature, nor the other way round. One for each event loop: it remembers the tokens it has verified.
final class AccessCheck {
    enum Verdict: Hashable {
        case permitted
        /// Nothing was presented where something is needed, or a genuine token that opens nothing any more.
        case refused
        /// Something untrue was presented once too often, or a new token that could be guessed meanwhile.
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
    ///   - sandbox: as the request names it, whether there is one or not.
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

    /// Whether a token is signed with a key that is in force, and has not expired. Meant for what cannot be guessed: a
    /// failure is not counted.
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
