import NIOHTTP1
import SecureAccess

/// Decides whether a request may reach a sandbox. Whatever is presented must be true: a wrong header is not made good by
/// a valid signature, nor the other way round.
public struct AccessCheck: Sendable {
    /// Verifies signed routes; without keys none is valid.
    public var keys: KeyRing?
    /// Seconds since 1970.
    public var now: @Sendable () -> UInt64

    public init(keys: KeyRing?, now: @escaping @Sendable () -> UInt64) {
        self.keys = keys
        self.now = now
    }

    /// Compared against where no sandbox is, so that it takes as long as where one is.
    private static let nobody = SecureRandom.bytes(SHA256Digest.length)

    /// - Parameter credentialHash: the sandbox's; nil where access is open.
    func permits(_ headers: HTTPHeaders, token: RouteToken?, credentialHash: [UInt8]?) -> Bool {
        let presented = headers[EndpointCredential.header]
        if let hash = credentialHash {
            guard presented.count <= 1 else { return false }
            if let credential = presented.first {
                guard EndpointCredential.matches(credential, hash: hash) else { return false }
                return token.map(verifies) ?? true
            }
            return token.map(verifies) ?? false
        }
        return token.map(verifies) ?? true
    }

    /// The work of `permits` for a sandbox that is not there; true where a genuine token names it.
    func permitsUnknown(_ headers: HTTPHeaders, token: RouteToken?) -> Bool {
        permits(headers, token: token, credentialHash: Self.nobody)
    }

    private func verifies(_ token: RouteToken) -> Bool {
        guard let keys else { return false }
        do throws(RouteTokenError) {
            try token.verify(now: now(), keys: keys)
            return true
        } catch { return false }
    }
}
