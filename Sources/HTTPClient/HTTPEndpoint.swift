/// A parsed `http` or `https` URL (RFC 3986).
package struct HTTPEndpoint: Hashable, Sendable {
    package var isSecure: Bool
    /// A name, or an address without brackets.
    package var host: String
    package var port: UInt16
    /// Path and query, as sent.
    package var target: String

    /// Nil for any other text. A URL with user or password is refused as well, because these would not be sent to the
    /// server, but might be logged.
    package init?(_ text: String) {
        let rest: Substring
        if text.lowercased().hasPrefix("http://") {
            (isSecure, rest) = (false, text.dropFirst(7))
        } else if text.lowercased().hasPrefix("https://") {
            (isSecure, rest) = (true, text.dropFirst(8))
        } else {
            return nil
        }
        guard text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else { return nil }
        let authority = rest.prefix { !"/?#".contains($0) }
        var path = rest[authority.endIndex...].prefix { $0 != "#" }
        if path.first == "?" { path = "/" + path }
        target = path.isEmpty ? "/" : String(path)
        guard !authority.contains("@") else { return nil }
        let port: Substring?
        if authority.first == "[" {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = String(authority[authority.index(after: authority.startIndex)..<end])
            let after = authority[authority.index(after: end)...]
            guard after.isEmpty || after.first == ":", host.contains(":") else { return nil }
            port = after.isEmpty ? nil : after.dropFirst()
        } else {
            let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2 else { return nil }
            host = String(parts[0])
            port = parts.count == 2 ? parts[1] : nil
        }
        // What a resolver or a proxy could read as something else is no host.
        guard !host.isEmpty, host.utf8.allSatisfy(Self.isHostByte), host.first != "-" else { return nil }
        guard let port else {
            self.port = isSecure ? 443 : 80
            return
        }
        guard port.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let number = UInt16(port), number > 0
        else { return nil }
        self.port = number
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            true
        default: "-._:".utf8.contains(byte)
        }
    }

    /// Appends a path, such as `/v1/metrics` to a base URL.
    package func appending(_ path: String) -> HTTPEndpoint {
        var endpoint = self
        let base = target.prefix { $0 != "?" }
        endpoint.target = (base.hasSuffix("/") ? String(base.dropLast()) : String(base)) + path
        return endpoint
    }

    /// The value of the Host field (RFC 9110, section 7.2).
    package var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }
}

extension HTTPEndpoint: CustomStringConvertible {
    /// For logs: without path and query, which may contain secrets.
    package var description: String { "\(isSecure ? "https" : "http")://\(authority)" }
}
