import NIOCore
import NIOSSL
import System

/// How a Redis server is known over TLS, in the words of redis-py's addresses: `?ssl_ca_certs=/path&ssl_certfile=/path&ssl_keyfile=/path`.
/// Its certificate and its name, or its address, are always checked.
package struct RedisTLS: Hashable, Sendable {
    /// Authorities in PEM form; nil for the system's.
    package var authorities: String?
    /// What the client shows; both or none.
    package var certificate: String?
    package var key: String?

    package init(authorities: String? = nil, certificate: String? = nil, key: String? = nil) {
        (self.authorities, self.certificate, self.key) = (authorities, certificate, key)
    }

    /// - Throws: `RedisError.address`.
    init(query: Substring) throws(RedisError) {
        self.init()
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, let value = PercentEncoding.decode(parts[1]), !value.isEmpty else {
                throw .address("the query is not name=value, percent-encoded")
            }
            switch parts[0] {
            case "ssl_ca_certs": authorities = value
            case "ssl_certfile": certificate = value
            case "ssl_keyfile": key = value
            case "ssl_cert_reqs" where value == "required", "ssl_check_hostname" where value.lowercased() == "true":
                break
            case "ssl_cert_reqs", "ssl_check_hostname":
                throw .address("\(parts[0]) would leave the server unchecked: name its authority in ssl_ca_certs")
            default: throw .address("the query may have ssl_ca_certs, ssl_certfile and ssl_keyfile")
            }
        }
        guard (certificate == nil) == (key == nil) else {
            throw .address("ssl_certfile and ssl_keyfile need each other")
        }
    }

    /// The handler of one connection. Files are read for each, so that renewed ones are taken.
    /// - Throws: `RedisError.tls`.
    func handler(host: String) throws(RedisError) -> NIOSSLClientHandler {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        do {
            if let authorities { configuration.trustRoots = .file(authorities) }
            if let certificate, let key {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) }
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
            }
            let context = try NIOSSLContext(configuration: configuration)
            // An address is no server name (RFC 6066, section 3); the certificate must have it all the same.
            guard (try? SocketAddress(ipAddress: host, port: 0)) == nil else {
                return try NIOSSLClientHandler(context: context, serverHostname: nil)
            }
            // By itself NIOSSL also takes a certificate for the address that the name led to, which is the resolver's word.
            return try ._makeSSLClientHandler(context: context, serverHostname: host) { certificate, channel in
                let names = certificate._subjectAlternativeNames().filter { $0.nameType == .dnsName }
                    .map { String(decoding: $0.contents, as: UTF8.self) }
                return Self.isNamed(host, by: names)
                    ? channel.eventLoop.makeSucceededVoidFuture()
                    : channel.eventLoop.makeFailedFuture(RedisError.tls("its certificate does not name \(host)"))
            }
        } catch { throw .tls("\(error)") }
    }

    /// RFC 9525, section 6.3: a wildcard stands for exactly one label, on the left.
    static func isNamed(_ host: String, by names: [String]) -> Bool {
        func canonical(_ name: String) -> String {
            let lower = name.lowercased()
            return lower.hasSuffix(".") ? String(lower.dropLast()) : lower
        }
        let host = canonical(host)
        let above = host.firstIndex(of: ".").map { String(host[$0...]) } ?? ""
        return names.map(canonical).contains {
            $0 == host || ($0 == "*" + above && above.dropFirst().contains(".") && !host.hasPrefix("."))
        }
    }
}
