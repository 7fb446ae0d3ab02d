import HTTPClient

#if canImport(Glibc)
    import Glibc
#endif

/// Where a container engine listens, in the words of Docker's own clients (`DOCKER_HOST`, `DOCKER_TLS_VERIFY`,
/// `DOCKER_CERT_PATH`).
package struct EngineAddress: Hashable, Sendable, CustomStringConvertible {
    package enum Place: Hashable, Sendable {
        case socket(String)
        case server(HTTPEndpoint)
    }

    package let place: Place
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`; nil without TLS.
    package let certificates: String?

    /// Why an address cannot be used, as words after it.
    package struct Problem: Error, Hashable, Sendable, CustomStringConvertible {
        package let description: String
        init(_ description: String) { self.description = description }
    }

    package static let usual = EngineAddress(place: .socket("/var/run/docker.sock"), certificates: nil)
    private static let plainPort: UInt16 = 2375, securePort: UInt16 = 2376

    private init(place: Place, certificates: String?) { (self.place, self.certificates) = (place, certificates) }

    /// - Parameters:
    ///   - text: `unix:///path`, `tcp://host:port`, `http://host:port` or `https://host:port`.
    ///   - certificates: a folder with the client's certificate; then only TLS is spoken.
    package init(_ text: String, certificates: String? = nil) throws(Problem) {
        let unix = "unix://"
        if text.hasPrefix(unix) {
            let path = String(text.dropFirst(unix.utf8.count))
            guard path.utf8.first == UInt8(ascii: "/"), path.utf8.count <= 107, !path.utf8.contains(0) else {
                throw Problem("names no socket: write unix:///var/run/docker.sock")
            }
            guard certificates == nil else { throw Problem("is a socket, which has no TLS: leave docker.tls_dir out") }
            self.init(place: .socket(path), certificates: nil)
            return
        }
        let schemes = ["tcp://", "http://", "https://"]
        guard let scheme = schemes.first(where: { text.hasPrefix($0) }) else {
            throw Problem("is not supported: use unix:///path or tcp://host:port (ssh:// is not supported either)")
        }
        let isSecure = certificates != nil || scheme == "https://"
        let rest = text.dropFirst(scheme.utf8.count)
        guard let read = HTTPEndpoint((isSecure ? "https://" : "http://") + rest), read.target == "/" else {
            throw Problem("names no host and port: write tcp://host:2375")
        }
        var endpoint = read
        // Docker's ports, not HTTP's, where none is written.
        if !Self.hasPort(rest) { endpoint.port = isSecure ? Self.securePort : Self.plainPort }
        self.init(place: .server(endpoint), certificates: certificates)
    }

    private static func hasPort(_ authority: Substring) -> Bool {
        let host = authority.prefix { $0 != "/" }
        guard let colon = host.lastIndex(of: ":") else { return false }
        return host.last != "]" && !(host.first != "[" && host[..<colon].contains(":"))
    }

    /// As Docker's clients find it. A `DOCKER_TLS_VERIFY` that is not empty asks for TLS.
    /// - Parameter certificates: goes over the environment's.
    package init(environment: [String: String], certificates: String? = nil) throws(Problem) {
        guard let host = environment["DOCKER_HOST"], !host.isEmpty else {
            self = .usual
            return
        }
        let verifies = !host.hasPrefix("unix://") && !(environment["DOCKER_TLS_VERIFY"] ?? "").isEmpty
        let folder = environment["DOCKER_CERT_PATH"].flatMap { $0.isEmpty ? nil : $0 }
        try self.init(
            host,
            certificates: certificates
                ?? (verifies ? folder ?? (environment["HOME"] ?? "/root") + "/.docker" : nil))
    }

    /// Whether all who reach it may use it: a port that asks for no certificate.
    package var isOpen: Bool {
        if case .server = place { certificates == nil } else { false }
    }

    package var description: String {
        switch place {
        case .socket(let path): "unix://\(path)"
        case .server(let endpoint): "\(endpoint)"
        }
    }

    /// The first file of the client's certificate that cannot be read; nil if all can, or none is needed.
    package var missingFile: String? {
        guard let certificates else { return nil }
        return Self.files.map { certificates + "/" + $0 }.first { access($0, R_OK) != 0 }
    }

    private static let files = ["ca.pem", "cert.pem", "key.pem"]

    /// The engine as a server of HTTP.
    /// - Parameter patience: milliseconds without a byte after which a request is given up.
    func peer(patience: UInt64) -> HTTPPeer {
        var peer: HTTPPeer
        switch place {
        case .socket(let path): peer = HTTPPeer(unixSocket: path)
        case .server(let endpoint): peer = HTTPPeer(endpoint)
        }
        if let certificates {
            peer.tls = ClientTLS(
                authorities: .file(certificates + "/ca.pem"), certificate: .file(certificates + "/cert.pem"),
                key: .file(certificates + "/key.pem"))
        }
        peer.deadlines = ClientDeadlines(connect: 5000, total: nil, idle: patience)
        peer.limits.body = EngineCall.maxAnswer
        peer.limits.line = EngineCall.maxLine
        return peer
    }
}
