/// A set of field names. A name is also found with underscores in the place of dashes: applications that read fields as
/// variables (CGI, WSGI) cannot tell the two apart.
struct FieldNames: Sendable {
    private var byLength: [[String]] = []

    init(_ names: [String]) {
        for name in names {
            let length = name.utf8.count
            while byLength.count <= length { byLength.append([]) }
            byLength[length].append(name)
        }
    }

    func contains(_ name: String) -> Bool {
        let length = name.utf8.count
        guard length < byLength.count else { return false }
        for known in byLength[length] where Self.areEqual(name, known) { return true }
        return false
    }

    private static func areEqual(_ name: String, _ known: String) -> Bool {
        var others = known.utf8.makeIterator()
        for byte in name.utf8 {
            let other = others.next()!
            guard
                byte == other || (byte ^ other == 0x20 && ASCII.isLetter(byte))
                    || (byte == UInt8(ascii: "_") && other == UInt8(ascii: "-"))
            else { return false }
        }
        return true
    }

    /// Fields of one connection (RFC 9110, section 7.6.1), and those that would start HTTP/2 inside a tunnel.
    static let hopByHop = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te",
        "transfer-encoding", "upgrade", "http2-settings",
    ]
    /// What a client says about its way here; rebuilt from the connection.
    static let forwarded = [
        "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port",
        "x-forwarded-server", "x-forwarded-prefix", "x-forwarded-ssl", "x-real-ip",
    ]
    /// Credentials and instructions for the plane itself.
    static let credentials = [
        "opensandbox-ingress-to", "opensandbox-secure-access", "opensandbox-access-renew", "open-sandbox-api-key",
        "opensandbox-access-identity",
    ]
}
