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

    public init(keys: LiveKeys?, now: @escaping @Sendable () -> UInt64) {
        self.keys = keys
        self.now = now
    }
}

/// What the directory knows of a sandbox that decides who may enter.
struct Entrance: Hashable, Sendable {
    /// Nil where access is open.
    var credentialHash: [UInt8]?
    var epoch: AccessEpoch

    /// Compared against where no sandbox is, so that it takes as long as where one is.
    static let nobody = Entrance(
        credentialHash: SecureRandom.bytes(SHA256Digest.length), epoch: AccessEpoch(birth: .max))
}

/// Decides whether a request may reach a sandbox. Whatever is presented must be true: a wrong header is not made good by
/// a valid signature, nor the other way round. One for each event loop: it remembers the tokens it has verified.
final class AccessCheck {
    enum Verdict: Hashable {
        case permitted
        /// Nothing was presented where something is needed.
        case missing
        /// Something was presented that is not true: perhaps a guess.
        case wrong
        /// A genuine token that opens nothing any more.
        case late
    }

    private let rules: AccessRules
    private var verified: VerifiedTokens?

    init(_ rules: AccessRules) {
        self.rules = rules
        verified = rules.keys.map { VerifiedTokens(keys: $0) }
    }

    func verdict(_ headers: HTTPHeaders, token: RouteToken?, for entrance: Entrance) -> Verdict {
        let presented = headers[EndpointCredential.header]
        guard let hash = entrance.credentialHash else { return token.map { verify($0, entrance.epoch) } ?? .permitted }
        guard presented.count <= 1 else { return .wrong }
        if let credential = presented.first {
            guard EndpointCredential.matches(credential, hash: hash) else { return .wrong }
            return token.map { verify($0, entrance.epoch) } ?? .permitted
        }
        return token.map { verify($0, entrance.epoch) } ?? .missing
    }

    private func verify(_ token: RouteToken, _ epoch: AccessEpoch) -> Verdict {
        guard verified != nil, rules.acceptsVersion1 || token.version != .one else { return .wrong }
        do throws(RouteTokenError) {
            try verified!.verify(token, now: rules.now(), epoch: epoch)
            return .permitted
        } catch {
            return error == .expired || error == .revoked ? .late : .wrong
        }
    }
}
