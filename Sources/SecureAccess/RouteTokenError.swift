/// Why a route token is not valid, or cannot be made.
public enum RouteTokenError: Error, Hashable, Sendable, CustomStringConvertible {
    case malformed
    case unknownKey
    case wrongSignature
    case expired
    /// A genuine token of version 1 for a sandbox whose access was revoked at some time. It may be from before that,
    /// since version 1 does not tell.
    case revoked
    /// Version 1 is not accepted here.
    case refusedVersion
    /// The label would have so many characters; DNS allows 63 (RFC 1035, section 2.3.4).
    case labelTooLong(Int)

    public var description: String {
        switch self {
        case .malformed: "the route token is malformed"
        case .unknownKey: "the route token is signed with an unknown key"
        case .wrongSignature: "the route token's signature is wrong"
        case .expired: "the route token has expired"
        case .revoked: "the route token has been revoked"
        case .refusedVersion: "route tokens of version 1 are not accepted"
        case .labelTooLong(let length):
            "the host name's label would have \(length) characters and DNS allows \(RouteToken.maxLabel): "
                + "use a shorter sandbox id, an earlier expiry, or header or uri routes"
        }
    }
}
