/// Verifies tokens and remembers genuine ones, so that a token seen before costs a look-up instead of a hash. Not
/// locked: use one for each event loop.
///
/// It remembers the right code for a claim, not that a text was genuine, and compares the presented code in constant
/// time. Only a genuine token adds an entry.
public struct VerifiedTokens: Sendable {
    private struct Claim: Hashable, Sendable {
        var sandbox: String
        var port: Int
        var expires: UInt64
        /// Version, form and key.
        var kind: UInt16
        var epoch: AccessEpoch
        var scope: RouteScope?

        init(_ token: RouteToken, _ epoch: AccessEpoch) {
            sandbox = token.sandbox
            port = token.port
            expires = token.expires
            kind = token.kindNumber
            self.epoch = epoch
            scope = token.scope
        }
    }

    private let keys: LiveKeys
    private var ring: KeyRing
    private var generation: UInt64
    /// Two generations: when the young one is full it becomes the old one, and entries not used since are dropped.
    private var young: [Claim: UInt128] = [:]
    private var old: [Claim: UInt128] = [:]
    private let half: Int

    /// - Parameter capacity: claims that are remembered at most.
    public init(keys: LiveKeys, capacity: Int = 4096) {
        self.keys = keys
        generation = keys.generation
        ring = keys.current
        half = max(1, capacity / 2)
    }

    public var count: Int { young.count + old.count }

    /// As `RouteToken.verify` with the keys that are in force.
    public mutating func verify(_ token: RouteToken, now: UInt64, epoch: AccessEpoch) throws(RouteTokenError) {
        follow()
        let claim = Claim(token, epoch)
        if let code = young[claim] { return try token.verify(code: code, now: now, epoch: epoch) }
        if let code = old[claim] {
            try token.verify(code: code, now: now, epoch: epoch)
            return remember(claim, code)
        }
        let code = try token.expectedCode(epoch: epoch, keys: ring)
        try token.verify(code: code, now: now, epoch: epoch)
        remember(claim, code)
    }

    /// Whether the token has been verified before and is still remembered; computes nothing.
    public mutating func hasSeen(_ token: RouteToken, epoch: AccessEpoch) -> Bool {
        follow()
        let claim = Claim(token, epoch)
        guard let code = young[claim] ?? old[claim] else { return false }
        return token.hasCode(code)
    }

    private mutating func remember(_ claim: Claim, _ code: UInt128) {
        if young.count >= half {
            old = young
            young.removeAll(keepingCapacity: true)
        }
        young[claim] = code
    }

    /// Drops everything when the keys have changed, since the signing key may be gone.
    private mutating func follow() {
        let latest = keys.generation
        guard latest != generation else { return }
        generation = latest
        ring = keys.current
        young = [:]
        old = [:]
    }
}
