import SecureAccess

/// What gave a request access, as the sandbox is told in a header that clients cannot set. It contains no secret.
struct VerifiedIdentity: Hashable, Sendable {
    enum Means: String, Sendable {
        /// No credential is needed.
        case open
        /// The static credential.
        case credential
        case token
        /// The cookie that was given for a token.
        case cookie
    }

    var means: Means
    var token: RouteToken?
    var client: String?

    static let header = "OpenSandbox-Access-Identity"

    /// A dictionary of RFC 8941: `kind=token, version=2, key="a", label="ci", client="192.0.2.1"`.
    var field: String {
        var text = "kind="
        text.reserveCapacity(64)
        text += means.rawValue
        if let token {
            text += ", version=\(token.version.rawValue), key=\"\(token.keyID)\""
            if let label = token.scope?.label { text += ", label=\"\(label)\"" }
        }
        if let client {
            text += ", client=\""
            text += client
            text += "\""
        }
        return text
    }
}
