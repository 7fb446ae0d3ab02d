import NIOCore

/// A collector that execd can reach, as an `http://` URL names it. A value without I/O.
///
/// execd is static and small: it has no TLS, and looks up no names.
struct CollectorAddress: Hashable, Sendable {
    /// Why a URL names no such collector. The URL is not repeated: it may have a password in it.
    struct Refusal: Error, Hashable {
        let reason: String
    }

    /// A literal address.
    let host: String
    let port: Int
    /// A path; `/` where the URL has none.
    var target: String

    private static let maxBytes = 2048
    private static let scheme = "http://"

    init(_ url: String) throws(Refusal) {
        guard url.utf8.count <= Self.maxBytes, url.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw Refusal(reason: "is not a URL of \(Self.maxBytes) printable characters at most")
        }
        let start = url.prefix(Self.scheme.count).lowercased()
        guard start == Self.scheme else {
            throw Refusal(
                reason: start == "https:/"
                    ? "execd has no TLS: use http:// and the address of a collector that passes it on"
                    : "use http:// and the address of a collector")
        }
        let rest = url.dropFirst(Self.scheme.count)
        let authority = rest.prefix { $0 != "/" }
        guard !rest.contains(where: { $0 == "?" || $0 == "#" }), !authority.contains("@") else {
            throw Refusal(reason: "use http://ADDRESS:PORT and a path, without user, query and fragment")
        }
        guard let (host, port) = Self.split(authority), (try? SocketAddress(ipAddress: host, port: port)) != nil else {
            throw Refusal(
                reason: "execd looks up no names: use http://ADDRESS:PORT with an IP address and a port from 1 to 65535"
            )
        }
        (self.host, self.port) = (host, port)
        target = rest.count > authority.count ? String(rest.dropFirst(authority.count)) : "/"
    }

    /// The same collector, below its path.
    func appending(_ path: String) -> CollectorAddress {
        var longer = self
        while longer.target.last == "/" { longer.target.removeLast() }
        longer.target += path
        return longer
    }

    /// As it stands in a URL.
    var authority: String { (host.contains(":") ? "[\(host)]" : host) + ":\(port)" }

    /// - Returns: nil where it is neither `HOST`, `HOST:PORT`, `[HOST]` nor `[HOST]:PORT`.
    private static func split(_ authority: Substring) -> (host: String, port: Int)? {
        let host: Substring, rest: Substring
        if authority.first == "[" {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[..<end].dropFirst()
            rest = authority[end...].dropFirst()
            guard host.contains(":") else { return nil }
        } else {
            host = authority.prefix { $0 != ":" }
            rest = authority.dropFirst(host.count)
        }
        let address = host == "localhost" ? "127.0.0.1" : String(host)
        guard !rest.isEmpty else { return (address, 80) }
        let digits = rest.dropFirst()
        guard rest.first == ":", digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(digits),
            (1...65535).contains(port)
        else { return nil }
        return (address, port)
    }
}
