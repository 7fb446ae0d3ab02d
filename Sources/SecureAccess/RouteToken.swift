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
/// | 27, a dot, a scope | 2, scoped, in a header or a path | 128 bits over `v2\nscoped\n<id>\n<port>\n<expires>\n<epoch>\n<scope>\n` |
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
    /// What it may be used for; nil: everything.
    public let scope: RouteScope?
    /// In the low bits of a number: comparing two of them tells nothing by its time.
    private let code: UInt128
    private let kind: Kind
    private let keyByte: UInt8

    /// RFC 1035, section 2.3.4.
    public static let longestLabel = 63

    private init(
        sandbox: String, port: Int, expires: UInt64, scope: RouteScope?, kind: Kind, code: UInt128, keyByte: UInt8
    ) {
        self.scope = scope
        self.sandbox = sandbox
        self.port = port
        self.expires = expires
        self.kind = kind
        self.code = code
        self.keyByte = keyByte
    }

    /// What the length of a signature says about it.
    private enum Kind: Int {
        case one = 9
        case label = 13
        case long = 27
        /// As long, with a scope behind it.
        case scoped = 28
        /// The value of a cookie, made by a gateway for a browser that has shown a signed route.
        case cookie = 29

        var form: Form? {
            switch self {
            case .one: nil
            case .label: .label
            case .long, .scoped, .cookie: .long
            }
        }
        var bits: Int {
            switch self {
            case .one: 32
            case .label: 60
            case .long, .scoped, .cookie: 128
            }
        }
        /// The first lines of what is signed.
        var title: StaticString {
            switch self {
            case .one: "v1\nshort\n"
            case .label: "v2\nlabel\n"
            case .long: "v2\nlong\n"
            case .scoped: "v2\nscoped\n"
            case .cookie: "v2\ncookie\n"
            }
        }
        var alphabet: CodeAlphabet { self == .one ? .base16 : .base32 }

        /// The code and the byte of the key's id.
        func read(_ signature: UnsafeBufferPointer<UInt8>) -> (UInt128, UInt8)? {
            guard let key = signature.last, Base36.digit(key) != nil,
                let code = alphabet.number(UnsafeBufferPointer(rebasing: signature.dropLast()), bits: bits)
            else { return nil }
            return (code, key)
        }
    }

    // MARK: Reading

    /// Puts a token together from the parts of a route, each in its only valid form.
    /// - Parameter form: where it stands: a short code opens nothing in a header. Nil for any.
    /// - Throws: `RouteTokenError.malformed`.
    public init(
        sandbox: some StringProtocol, port: some StringProtocol, expires: some StringProtocol,
        signature: some StringProtocol, in form: Form? = nil
    ) throws(RouteTokenError) {
        var sandbox = Substring(sandbox), port = Substring(port), expires = Substring(expires)
        var signature = Substring(signature)
        let token = sandbox.withUTF8 { sandbox in
            port.withUTF8 { port in
                expires.withUTF8 { expires in
                    signature.withUTF8 { Self.read(sandbox, port, expires, $0, form) }
                }
            }
        }
        guard let token else { throw .malformed }
        self = token
    }

    /// Reads `<id>-<port>-<expires>-<signature>`. The id may have dashes of its own.
    /// - Throws: `RouteTokenError.malformed`.
    public init(_ text: some StringProtocol, in form: Form? = nil) throws(RouteTokenError) {
        var text = Substring(text)
        let token = text.withUTF8 { bytes -> RouteToken? in
            func dash(before end: Int) -> Int? { bytes[..<end].lastIndex(of: UInt8(ascii: "-")) }
            func part(_ range: Range<Int>) -> Bytes { Bytes(rebasing: bytes[range]) }
            guard let third = dash(before: bytes.count), let second = dash(before: third),
                let first = dash(before: second)
            else { return nil }
            return Self.read(
                part(0..<first), part(first + 1..<second), part(second + 1..<third), part(third + 1..<bytes.count), form
            )
        }
        guard let token else { throw .malformed }
        self = token
    }

    private typealias Bytes = UnsafeBufferPointer<UInt8>

    private static func read(
        _ sandbox: Bytes, _ port: Bytes, _ expires: Bytes, _ signature: Bytes, _ form: Form?
    ) -> RouteToken? {
        var kind = Kind.scoped, signature = signature, scope: RouteScope?
        if signature.count > Kind.long.rawValue + 1 {
            guard signature[Kind.long.rawValue] == UInt8(ascii: ".") else { return nil }
            scope = RouteScope(Bytes(rebasing: signature[(Kind.long.rawValue + 1)...]))
            guard scope != nil else { return nil }
            signature = Bytes(rebasing: signature[..<Kind.long.rawValue])
        } else {
            guard let found = Kind(rawValue: signature.count), found != .scoped else { return nil }
            kind = found
        }
        guard form == nil || kind.form == nil || kind.form == form, !sandbox.isEmpty,
            let number = Self.port(port), let time = Base36.number(expires), let (code, key) = kind.read(signature)
        else { return nil }
        return RouteToken(
            sandbox: String(decoding: sandbox, as: UTF8.self), port: number, expires: time, scope: scope, kind: kind,
            code: code, keyByte: key)
    }

    /// Reads the value of a cookie, `<expires>-<signature>`, for the route that it came with.
    /// - Throws: `RouteTokenError.malformed`.
    public init(cookie text: some StringProtocol, sandbox: String, port: Int) throws(RouteTokenError) {
        var text = Substring(text)
        let token = text.withUTF8 { bytes -> RouteToken? in
            let length = Kind.long.rawValue
            guard let dash = bytes.firstIndex(of: UInt8(ascii: "-")), bytes.count >= dash + 1 + length,
                let time = Base36.number(Bytes(rebasing: bytes[..<dash])),
                let (code, key) = Kind.cookie.read(Bytes(rebasing: bytes[(dash + 1)..<(dash + 1 + length)]))
            else { return nil }
            let rest = bytes[(dash + 1 + length)...]
            var scope: RouteScope?
            if let first = rest.first {
                guard first == UInt8(ascii: "."), let found = RouteScope(Bytes(rebasing: rest.dropFirst())),
                    found.nonce == nil
                else { return nil }
                scope = found
            }
            return RouteToken(
                sandbox: sandbox, port: port, expires: time, scope: scope, kind: .cookie, code: code, keyByte: key)
        }
        guard let token else { throw .malformed }
        self = token
    }

    /// The value of a cookie.
    public var cookieText: String { "\(expiresText)-\(signature)" }

    /// A port in its only form: 1 to 65535 without leading zeros.
    public static func port(_ text: some StringProtocol) -> Int? {
        var text = Substring(text)
        return text.withUTF8 { port($0) }
    }

    private static func port(_ bytes: Bytes) -> Int? {
        guard (1...5).contains(bytes.count), bytes.first != UInt8(ascii: "0") else { return nil }
        var number = 0
        for byte in bytes {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            number = number * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return number <= 65535 ? number : nil
    }

    // MARK: Writing

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
        guard label.utf8.count <= Self.longestLabel else { throw .labelTooLong(label.utf8.count) }
        return label
    }
}

// MARK: - Signing

extension RouteToken {
    /// Signs version 1 with the ring's active key. The caller has checked that the sandbox and the port exist.
    public static func mint(sandbox: String, port: Int, expires: UInt64, keys: KeyRing) -> RouteToken {
        sign(.one, sandbox, port, expires, .first, nil, keys)
    }

    /// Signs version 2 with the ring's active key, for one form.
    public static func mint(
        sandbox: String, port: Int, expires: UInt64, epoch: AccessEpoch, form: Form, keys: KeyRing
    ) -> RouteToken {
        sign(form == .label ? .label : .long, sandbox, port, expires, epoch, nil, keys)
    }

    /// Signs version 2 for a header or a path and for some uses only. A host name has no room for that.
    public static func mint(
        sandbox: String, port: Int, expires: UInt64, epoch: AccessEpoch, scope: RouteScope, keys: KeyRing
    ) -> RouteToken {
        sign(scope.isEmpty ? .long : .scoped, sandbox, port, expires, epoch, scope.isEmpty ? nil : scope, keys)
    }

    /// What a browser is given that has shown this token, so that what its page loads need not have it in its address.
    public func cookie(epoch: AccessEpoch, keys: KeyRing) -> RouteToken {
        let scope = scope?.lasting
        return Self.sign(.cookie, sandbox, port, expires, epoch, scope?.isEmpty ?? true ? nil : scope, keys)
    }

    private static func sign(
        _ kind: Kind, _ sandbox: String, _ port: Int, _ expires: UInt64, _ epoch: AccessEpoch, _ scope: RouteScope?,
        _ keys: KeyRing
    ) -> RouteToken {
        let key = keys.active.asciiValue!
        func token(_ code: UInt128) -> RouteToken {
            RouteToken(
                sandbox: sandbox, port: port, expires: expires, scope: scope, kind: kind, code: code, keyByte: key)
        }
        return token(token(0).expectedCode(epoch: epoch, secret: keys.secret(key)!))
    }

    /// Checks signature and expiry; the token holds through the second in which it expires.
    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - epoch: the sandbox's present one.
    public func verify(now: UInt64, epoch: AccessEpoch, keys: KeyRing) throws(RouteTokenError) {
        try verify(code: try expectedCode(epoch: epoch, keys: keys), now: now, epoch: epoch)
    }

    /// The code that a genuine token has.
    func expectedCode(epoch: AccessEpoch, keys: KeyRing) throws(RouteTokenError) -> UInt128 {
        guard let secret = keys.secret(keyByte) else { throw .unknownKey }
        return expectedCode(epoch: epoch, secret: secret)
    }

    func verify(code expected: UInt128, now: UInt64, epoch: AccessEpoch) throws(RouteTokenError) {
        guard hasCode(expected) else { throw .wrongSignature }
        // Only who holds a genuine token learns more.
        guard version == .two || epoch.revocations == 0 else { throw .revoked }
        guard now <= expires else { throw .expired }
    }

    /// In a time that does not depend on where the two differ.
    func hasCode(_ expected: UInt128) -> Bool { code ^ expected == 0 }

    /// Version, form and key, as one number.
    var kindNumber: UInt16 { UInt16(kind.rawValue) << 8 | UInt16(keyByte) }

    private func expectedCode(epoch: AccessEpoch, secret: [UInt8]) -> UInt128 {
        var text: [UInt8] = []
        text.reserveCapacity(192)
        func lines() {
            let newline = UInt8(ascii: "\n")
            kind.title.withUTF8Buffer { text += $0 }
            text += sandbox.utf8
            text.append(newline)
            Base36.append(UInt64(port), to: &text, radix: 10)
            text.append(newline)
            Base36.append(expires, to: &text)
            text.append(newline)
        }
        func length(_ count: Int) {
            for shift in [24, 16, 8, 0] { text.append(UInt8(truncatingIfNeeded: count >> shift)) }
        }
        let digest: [UInt8]
        switch kind {
        case .one:
            lines()
            let canonical = text
            text.removeAll(keepingCapacity: true)
            length(secret.count)
            text += secret
            length(canonical.count)
            text += canonical
            digest = SHA256Digest.of(text)
        case .label, .long, .scoped, .cookie:
            lines()
            Base36.append(epoch.birth, to: &text)
            text.append(UInt8(ascii: "."))
            Base36.append(epoch.revocations, to: &text)
            text.append(UInt8(ascii: "\n"))
            if kind == .scoped || kind == .cookie {
                if let scope { text += scope.text.utf8 }
                text.append(UInt8(ascii: "\n"))
            }
            digest = HMACSHA256.of(text, key: secret)
        }
        let first = digest.prefix(16).reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
        return first >> UInt128(128 - kind.bits)
    }
}
