extension RouteToken {
    /// Makes a token from the parts of a route, each of which must be in canonical form.
    /// - Parameter form: where the token was found, since a short code is only valid in a host name. Nil for any.
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

    /// Reads `<id>-<port>-<expires>-<signature>`. The id may contain dashes.
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
        var kind = SignatureKind.scoped, signature = signature, scope: RouteScope?
        if signature.count > SignatureKind.long.rawValue + 1 {
            guard signature[SignatureKind.long.rawValue] == UInt8(ascii: ".") else { return nil }
            scope = RouteScope(Bytes(rebasing: signature[(SignatureKind.long.rawValue + 1)...]))
            guard scope != nil else { return nil }
            signature = Bytes(rebasing: signature[..<SignatureKind.long.rawValue])
        } else {
            guard let found = SignatureKind(rawValue: signature.count), found != .scoped else { return nil }
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
            let length = SignatureKind.long.rawValue
            guard let dash = bytes.firstIndex(of: UInt8(ascii: "-")), bytes.count >= dash + 1 + length,
                let time = Base36.number(Bytes(rebasing: bytes[..<dash])),
                let (code, key) = SignatureKind.cookie.read(Bytes(rebasing: bytes[(dash + 1)..<(dash + 1 + length)]))
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

    /// A port in canonical form: 1 to 65535 without leading zeros.
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
}
