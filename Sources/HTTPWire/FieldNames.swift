/// A set of field names. Names also match with underscores instead of dashes, because applications that read fields as
/// variables (CGI, WSGI) cannot tell the two apart.
@usableFromInline package struct FieldNames: Sendable {
    @usableFromInline var byLength: [[[UInt8]]] = []

    package init(_ names: [String]) {
        for name in names {
            let length = name.utf8.count
            while byLength.count <= length { byLength.append([]) }
            byLength[length].append(Array(name.utf8))
        }
    }

    @inlinable package func contains(_ name: String) -> Bool {
        guard name.utf8.count < byLength.count, !byLength[name.utf8.count].isEmpty else { return false }
        var name = name
        return name.withUTF8 { contains(UnsafeRawBufferPointer($0)) }
    }

    @inlinable package func contains(_ name: UnsafeRawBufferPointer) -> Bool {
        guard name.count < byLength.count else { return false }
        for known in byLength[name.count] where Self.areEqual(name, known) { return true }
        return false
    }

    @inlinable static func areEqual(_ name: UnsafeRawBufferPointer, _ known: [UInt8]) -> Bool {
        for index in 0..<name.count {
            let byte = name[index], other = known[index]
            guard
                byte == other || (byte ^ other == 0x20 && ASCII.isLetter(byte))
                    || (byte == UInt8(ascii: "_") && other == UInt8(ascii: "-"))
            else { return false }
        }
        return true
    }

    /// Hop-by-hop fields (RFC 9110, section 7.6.1), and those that would start HTTP/2 inside a tunnel.
    package static let hopByHop = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te",
        "transfer-encoding", "upgrade", "http2-settings",
    ]
    /// Forwarding fields of the client, which are replaced from the connection.
    package static let forwarded = [
        "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port",
        "x-forwarded-server", "x-forwarded-prefix", "x-forwarded-ssl", "x-real-ip",
    ]
    /// Credentials and instructions for Sallyport itself.
    package static let credentials = [
        "opensandbox-ingress-to", "opensandbox-secure-access", "opensandbox-access-renew", "open-sandbox-api-key",
        "opensandbox-access-identity",
    ]
}
