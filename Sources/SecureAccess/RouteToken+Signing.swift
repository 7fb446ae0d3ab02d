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

    /// Signs version 2 with a scope, for a header or a path; a host name has no room for one.
    public static func mint(
        sandbox: String, port: Int, expires: UInt64, epoch: AccessEpoch, scope: RouteScope, keys: KeyRing
    ) -> RouteToken {
        sign(scope.isEmpty ? .long : .scoped, sandbox, port, expires, epoch, scope.isEmpty ? nil : scope, keys)
    }

    /// The cookie for a browser that has shown this token, so that the page's further requests need no token in their
    /// URLs.
    public func cookie(epoch: AccessEpoch, keys: KeyRing) -> RouteToken {
        let scope = scope?.lasting
        return Self.sign(.cookie, sandbox, port, expires, epoch, scope?.isEmpty ?? true ? nil : scope, keys)
    }

    private static func sign(
        _ kind: SignatureKind, _ sandbox: String, _ port: Int, _ expires: UInt64, _ epoch: AccessEpoch,
        _ scope: RouteScope?,
        _ keys: KeyRing
    ) -> RouteToken {
        let key = keys.active.asciiValue!
        func token(_ code: UInt128) -> RouteToken {
            RouteToken(
                sandbox: sandbox, port: port, expires: expires, scope: scope, kind: kind, code: code, keyByte: key)
        }
        return token(token(0).expectedCode(epoch: epoch, secret: keys.secret(key)!))
    }

    /// Checks signature and expiry; the token is valid through the second in which it expires.
    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - epoch: the sandbox's present one.
    public func verify(now: UInt64, epoch: AccessEpoch, keys: KeyRing) throws(RouteTokenError) {
        try verify(code: try expectedCode(epoch: epoch, keys: keys), now: now, epoch: epoch)
    }

    /// The code of a genuine token.
    func expectedCode(epoch: AccessEpoch, keys: KeyRing) throws(RouteTokenError) -> UInt128 {
        guard let secret = keys.secret(keyByte) else { throw .unknownKey }
        return expectedCode(epoch: epoch, secret: secret)
    }

    func verify(code expected: UInt128, now: UInt64, epoch: AccessEpoch) throws(RouteTokenError) {
        guard hasCode(expected) else { throw .wrongSignature }
        // The reason is told only to the holder of a genuine token.
        guard version == .two || epoch.revocations == 0 else { throw .revoked }
        guard now <= expires else { throw .expired }
    }

    /// Constant-time comparison.
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
