/// A signed route: leave to reach one port of one sandbox until a time. Read by one parser, whatever its version.
///
/// The signature is a code and the id of the key it was made with, and its length says what it is:
///
/// | length | version | code |
/// |---|---|---|
/// | 9 | 1 (OSEP-0011) | 8 hexadecimal digits, the beginning of SHA-256(BE32(length of secret) ‖ secret ‖ BE32(length of text) ‖ text), the text being `v1\nshort\n<id>\n<port>\n<expires>\n` |
/// | 13 | 2, in a host name | 12 digits of base 32, 60 bits of HMAC-SHA-256 over `v2\nlabel\n<id>\n<port>\n<expires>\n<epoch>\n` |
/// | 27 | 2, in a header or a path | 26 digits of base 32, 128 bits of HMAC-SHA-256 over `v2\nlong\n<id>\n<port>\n<expires>\n<epoch>\n` |
///
/// The expiry stands in base 36 of its seconds since 1970. Twelve digits are what a label has room for behind an id of 36
/// characters, a port of five digits and an expiry of six; that a short code's text differs from the long one's keeps a
/// label, which browsers show around, from telling half of the long code.
public struct RouteToken: Hashable, Sendable {
    public enum Version: Int, Hashable, Sendable, CaseIterable {
        case one = 1
        case two = 2
    }

    /// Where a token stands.
    public enum Form: String, Hashable, Sendable, CaseIterable {
        /// One label of a host name.
        case label
        /// A header's value, or the beginning of a path.
        case long
    }

    public let sandbox: String
    public let port: Int
    /// Seconds since 1970.
    public let expires: UInt64
    /// The code and the key's id.
    public let signature: String

    /// RFC 1035, section 2.3.4.
    public static let longestLabel = 63

    private init(sandbox: String, port: Int, expires: UInt64, signature: String) {
        self.sandbox = sandbox
        self.port = port
        self.expires = expires
        self.signature = signature
    }

    // MARK: Reading

    /// Puts a token together from the parts of a route, each in its only valid form.
    /// - Parameter form: where it stands: a short code opens nothing in a header. Nil for any.
    /// - Throws: `RouteTokenError.malformed`.
    public init(
        sandbox: some StringProtocol, port: some StringProtocol, expires: some StringProtocol,
        signature: some StringProtocol, in form: Form? = nil
    ) throws(RouteTokenError) {
        guard !sandbox.isEmpty, let number = Self.port(port), let time = Base36.number(expires),
            Self.isSignature(signature, in: form)
        else { throw .malformed }
        self.init(sandbox: String(sandbox), port: number, expires: time, signature: String(signature))
    }

    /// Reads `<id>-<port>-<expires>-<signature>`. The id may have dashes of its own.
    /// - Throws: `RouteTokenError.malformed`.
    public init(_ text: some StringProtocol, in form: Form? = nil) throws(RouteTokenError) {
        var rest = Substring(text)
        func last() throws(RouteTokenError) -> Substring {
            guard let dash = rest.utf8.lastIndex(of: UInt8(ascii: "-")) else { throw .malformed }
            defer { rest = rest[..<dash] }
            return rest[rest.index(after: dash)...]
        }
        let signature = try last(), expires = try last(), port = try last()
        try self.init(sandbox: rest, port: port, expires: expires, signature: signature, in: form)
    }

    /// Whether a text has the shape of a signature; nothing about its truth.
    public static func isSignature(_ text: some StringProtocol, in form: Form? = nil) -> Bool {
        let bytes = Substring(text).utf8
        guard let shape = Shape(rawValue: bytes.count), form == nil || shape.form == nil || shape.form == form,
            Base36.isDigit(bytes.last!)
        else { return false }
        return bytes.dropLast().allSatisfy(shape.isDigit)
    }

    /// A port in its only form: 1 to 65535 without leading zeros.
    public static func port(_ text: some StringProtocol) -> Int? {
        guard (1...5).contains(text.utf8.count), text.utf8.first != UInt8(ascii: "0"),
            text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { return nil }
        return Int(text).flatMap { $0 <= 65535 ? $0 : nil }
    }

    // MARK: Writing

    public var version: Version { shape == .v1 ? .one : .two }
    /// Nil for version 1, which is the same everywhere.
    public var form: Form? { shape.form }
    /// Which key of the ring signed.
    public var keyID: Character { signature.last! }
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
        guard label.utf8.count <= Self.longestLabel else { throw .labelTooLong(label.utf8.count) }
        return label
    }

    /// What the length of a signature says about it.
    enum Shape: Int {
        case v1 = 9
        case v2Label = 13
        case v2Long = 27

        var form: Form? {
            switch self {
            case .v1: nil
            case .v2Label: .label
            case .v2Long: .long
            }
        }

        func isDigit(_ byte: UInt8) -> Bool {
            guard self == .v1 else { return Base32.isDigit(byte) }
            return (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
        }
    }

    var shape: Shape { Shape(rawValue: signature.utf8.count)! }
}

// MARK: - Signing

extension RouteToken {
    /// Signs version 1 with the ring's active key. The caller has checked that the sandbox and the port exist.
    public static func mint(sandbox: String, port: Int, expires: UInt64, keys: KeyRing) -> RouteToken {
        sign(.v1, sandbox, port, expires, .first, keys)
    }

    /// Signs version 2 with the ring's active key, for one form.
    public static func mint(
        sandbox: String, port: Int, expires: UInt64, epoch: AccessEpoch, form: Form, keys: KeyRing
    ) -> RouteToken {
        sign(form == .label ? .v2Label : .v2Long, sandbox, port, expires, epoch, keys)
    }

    private static func sign(
        _ shape: Shape, _ sandbox: String, _ port: Int, _ expires: UInt64, _ epoch: AccessEpoch, _ keys: KeyRing
    ) -> RouteToken {
        let blank = String(repeating: "a", count: shape.rawValue - 1) + String(keys.active)
        let unsigned = RouteToken(sandbox: sandbox, port: port, expires: expires, signature: blank)
        let code = unsigned.code(epoch: epoch, secret: keys.secret(keys.active)!)
        return RouteToken(
            sandbox: sandbox, port: port, expires: expires, signature: code + String(keys.active))
    }

    /// Checks signature and expiry; the token holds through the second in which it expires.
    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - epoch: the sandbox's present one.
    public func verify(now: UInt64, epoch: AccessEpoch, keys: KeyRing) throws(RouteTokenError) {
        try verify(code: try expectedCode(epoch: epoch, keys: keys), now: now, epoch: epoch)
    }

    /// The code that a genuine token has.
    func expectedCode(epoch: AccessEpoch, keys: KeyRing) throws(RouteTokenError) -> String {
        guard let secret = keys.secret(keyID) else { throw .unknownKey }
        return code(epoch: epoch, secret: secret)
    }

    func verify(code: String, now: UInt64, epoch: AccessEpoch) throws(RouteTokenError) {
        guard ConstantTime.begins(signature, with: code, followedBy: 1) else { throw .wrongSignature }
        // Only who holds a genuine token learns more.
        guard version == .two || epoch.revocations == 0 else { throw .revoked }
        guard now <= expires else { throw .expired }
    }

    private func code(epoch: AccessEpoch, secret: [UInt8]) -> String {
        switch shape {
        case .v1:
            let text = Array("v1\nshort\n\(sandbox)\n\(port)\n\(expiresText)\n".utf8)
            func length(_ bytes: [UInt8]) -> [UInt8] {
                (0..<4).map { UInt8(truncatingIfNeeded: bytes.count >> (24 - 8 * $0)) }
            }
            let digest = SHA256Digest.of(length(secret) + secret + length(text) + text)
            let digits = Array("0123456789abcdef")
            return String(digest.prefix(4).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
        case .v2Label: return Base32.text(authenticator("label", epoch, secret)[...], characters: 12)
        case .v2Long: return Base32.text(authenticator("long", epoch, secret)[..<16], characters: 26)
        }
    }

    private func authenticator(_ form: String, _ epoch: AccessEpoch, _ secret: [UInt8]) -> [UInt8] {
        HMACSHA256.of(Array("v2\n\(form)\n\(sandbox)\n\(port)\n\(expiresText)\n\(epoch)\n".utf8), key: secret)
    }
}
