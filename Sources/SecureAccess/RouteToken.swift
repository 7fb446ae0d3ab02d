/// A signed route, which opens one port of one sandbox until a time. One parser reads all versions.
///
/// The signature is a code followed by the id of its key. Its length tells the version:
///
/// | length | version | code |
/// |---|---|---|
/// | 9 | 1 (OSEP-0011) | 8 hexadecimal digits, the beginning of SHA-256(BE32(length of secret) ‖ secret ‖ BE32(length of text) ‖ text), the text being `v1\nshort\n<id>\n<port>\n<expires>\n` |
/// | 13 | 2, in a host name | 12 digits of base 32, 60 bits of HMAC-SHA-256 over `v2\nlabel\n<id>\n<port>\n<expires>\n<epoch>\n` |
/// | 27 | 2, in a header or a path | 26 digits of base 32, 128 bits of HMAC-SHA-256 over `v2\nlong\n<id>\n<port>\n<expires>\n<epoch>\n` |
/// | 27, a dot, a scope | 2, scoped, in a header or a path | 128 bits over `v2\nscoped\n<id>\n<port>\n<expires>\n<epoch>\n<scope>\n` |
///
/// The expiry is seconds since 1970 in base 36. Twelve digits are all that a DNS label has room for after an id of 36
/// characters, a port of five digits and an expiry of six. The short and the long code sign different texts, so a
/// label, which browsers expose in many places, does not reveal half of the long code.
public struct RouteToken: Hashable, Sendable {
    public enum Version: Int, Hashable, Sendable, CaseIterable {
        case one = 1
        case two = 2
    }

    /// Where a token is found.
    public enum Form: String, Hashable, Sendable, CaseIterable {
        /// One label of a host name.
        case label
        /// A header's value, or the start of a path.
        case long
    }

    public let sandbox: String
    public let port: Int
    /// Seconds since 1970.
    public let expires: UInt64
    /// What it may be used for; nil for everything.
    public let scope: RouteScope?
    /// In the low bits of an integer, so that comparing takes constant time.
    let code: UInt128
    let kind: SignatureKind
    let keyByte: UInt8

    /// RFC 1035, section 2.3.4.
    public static let maxLabel = 63

    init(
        sandbox: String, port: Int, expires: UInt64, scope: RouteScope?, kind: SignatureKind, code: UInt128,
        keyByte: UInt8
    ) {
        self.scope = scope
        self.sandbox = sandbox
        self.port = port
        self.expires = expires
        self.kind = kind
        self.code = code
        self.keyByte = keyByte
    }

    public var version: Version { kind == .one ? .one : .two }
    /// Nil for version 1, which is the same everywhere.
    public var form: Form? { kind.form }
    /// Which key of the ring signed.
    public var keyID: Character { Character(Unicode.Scalar(keyByte)) }
    /// The code and the key's id.
    public var signature: String {
        kind.alphabet.text(code, bits: kind.bits) + String(keyID) + (scope.map { "." + $0.text } ?? "")
    }
    /// The expiry in base 36.
    public var expiresText: String { Base36.text(expires) }

    /// `<id>-<port>-<expires>-<signature>`, for a header.
    public var text: String { "\(sandbox)-\(port)-\(expiresText)-\(signature)" }

    /// `/<id>/<port>/<expires>/<signature>`, in front of the path.
    public var pathPrefix: String { "/\(sandbox)/\(port)/\(expiresText)/\(signature)" }

    /// The token for a host name.
    /// - Throws: `RouteTokenError.labelTooLong`.
    public func label() throws(RouteTokenError) -> String {
        let label = text
        guard label.utf8.count <= Self.maxLabel else { throw .labelTooLong(label.utf8.count) }
        return label
    }

    /// The value of a cookie.
    public var cookieText: String { "\(expiresText)-\(signature)" }
}
