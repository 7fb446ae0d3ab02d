/// Why a route token opens nothing.
public enum RouteTokenError: Error, Hashable, Sendable, CustomStringConvertible {
    case malformed
    case unknownKey
    case wrongSignature
    case expired

    public var description: String {
        switch self {
        case .malformed: "the route token is malformed"
        case .unknownKey: "the route token is signed with an unknown key"
        case .wrongSignature: "the route token's signature is wrong"
        case .expired: "the route token has expired"
        }
    }
}

/// A signed route, version 1 (OSEP-0011): leave to reach one port of one sandbox until a time.
///
/// The signature is the first 8 hexadecimal digits of SHA-256(BE32(length of secret) ‖ secret ‖ BE32(length of text) ‖
/// text) and the key's id, with the text `v1\nshort\n<id>\n<port>\n<expires>\n`, the expiry in base 36.
public struct RouteToken: Hashable, Sendable {
    public let sandbox: String
    public let port: Int
    /// Seconds since 1970.
    public let expires: UInt64
    /// Eight hexadecimal digits and the key's id.
    public let signature: String

    public static let signatureLength = 9

    /// Signs with the ring's active key. The caller has checked that the sandbox and the port exist.
    public static func mint(sandbox: String, port: Int, expires: UInt64, keys: KeyRing) -> RouteToken {
        let tag = tag(sandbox: sandbox, port: port, expires: expires, secret: keys.secret(keys.active)!)
        return RouteToken(sandbox: sandbox, port: port, expires: expires, signature: tag + String(keys.active))
    }

    private init(sandbox: String, port: Int, expires: UInt64, signature: String) {
        self.sandbox = sandbox
        self.port = port
        self.expires = expires
        self.signature = signature
    }

    /// Puts a token together from the parts of a route, each in its only valid form.
    /// - Throws: `RouteTokenError.malformed`.
    public init(sandbox: String, port: String, expires: String, signature: String) throws(RouteTokenError) {
        guard !sandbox.isEmpty, let number = Self.port(port), let time = Self.base36(expires),
            Self.isSignature(signature)
        else { throw .malformed }
        self.init(sandbox: sandbox, port: number, expires: time, signature: signature)
    }

    /// Reads `<id>-<port>-<expires>-<signature>`. The id may have dashes of its own.
    /// - Throws: `RouteTokenError.malformed`.
    public init(_ text: String) throws(RouteTokenError) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 4 else { throw .malformed }
        try self.init(
            sandbox: parts.dropLast(3).joined(separator: "-"), port: String(parts[parts.count - 3]),
            expires: String(parts[parts.count - 2]), signature: String(parts[parts.count - 1]))
    }

    /// The expiry in base 36.
    public var expiresText: String { String(expires, radix: 36) }

    /// `<id>-<port>-<expires>-<signature>`, for a header or a host name.
    public var text: String { "\(sandbox)-\(port)-\(expiresText)-\(signature)" }

    /// `/<id>/<port>/<expires>/<signature>`, in front of the path.
    public var pathPrefix: String { "/\(sandbox)/\(port)/\(expiresText)/\(signature)" }

    /// Checks signature and expiry; the token holds through the second in which it expires.
    /// - Parameter now: seconds since 1970.
    public func verify(now: UInt64, keys: KeyRing) throws(RouteTokenError) {
        guard let secret = keys.secret(signature.last!) else { throw .unknownKey }
        let tag = Self.tag(sandbox: sandbox, port: port, expires: expires, secret: secret)
        guard ConstantTime.areEqual(Array(tag.utf8), Array(signature.utf8.dropLast())) else { throw .wrongSignature }
        // Only who holds a genuine token learns that it is late.
        guard now <= expires else { throw .expired }
    }

    private static func tag(sandbox: String, port: Int, expires: UInt64, secret: [UInt8]) -> String {
        let text = Array("v1\nshort\n\(sandbox)\n\(port)\n\(String(expires, radix: 36))\n".utf8)
        func length(_ bytes: [UInt8]) -> [UInt8] {
            (0..<4).map { UInt8(truncatingIfNeeded: bytes.count >> (24 - 8 * $0)) }
        }
        let digest = SHA256Digest.of(length(secret) + secret + length(text) + text)
        let digits = Array("0123456789abcdef")
        return String(digest.prefix(4).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// Whether a text has the shape of a signature; nothing about its truth.
    public static func isSignature(_ text: some StringProtocol) -> Bool {
        text.utf8.count == signatureLength
            && text.dropLast().allSatisfy { ("0"..."9").contains($0) || ("a"..."f").contains($0) }
            && KeyRing.isKeyID(text.last!)
    }

    /// A port in its only form: 1 to 65535 without leading zeros.
    public static func port(_ text: some StringProtocol) -> Int? {
        guard (1...5).contains(text.utf8.count), text.first != "0", text.allSatisfy({ ("0"..."9").contains($0) }) else {
            return nil
        }
        return Int(text).flatMap { $0 <= 65535 ? $0 : nil }
    }

    private static func base36(_ text: String) -> UInt64? {
        guard (1...13).contains(text.utf8.count), text == "0" || text.first != "0", text.allSatisfy(KeyRing.isKeyID)
        else { return nil }
        return UInt64(text, radix: 36)
    }
}
