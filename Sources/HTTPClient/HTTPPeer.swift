#if canImport(Glibc)
    import Glibc
#endif

/// A server, how it is reached, and what it may cost.
package struct HTTPPeer: Sendable {
    package let origin: HTTPEndpoint
    /// Reached over this socket of the machine, whatever the origin says.
    package let unixSocket: String?
    package var tls = ClientTLS()
    /// None unless it is set here: variables such as `https_proxy` are not read.
    package var proxy: HTTPProxy?
    /// Sent with every request, such as a token.
    package var headers: [(name: String, value: String)] = []
    package var deadlines = ClientDeadlines()
    package var limits = ClientLimits()
    /// Whether a server without TLS is known to speak HTTP/2. With TLS both sides agree on it by themselves.
    package var speaksHTTP2 = false
    /// Whether a connection may carry a later request, too. Not where the address comes to be another server's, as a sandbox's does:
    /// a connection to the one before may be neither closed nor answered.
    package var keepsConnections = true

    /// - Parameter origin: of the server. Its path is of no account: each request names its own.
    package init(_ origin: HTTPEndpoint) {
        self.origin = origin
        unixSocket = nil
    }

    package init(unixSocket: String) {
        origin = HTTPEndpoint("http://localhost")!
        self.unixSocket = unixSocket
    }

    /// Adds `Authorization: Bearer …` (RFC 6750).
    package mutating func authorize(bearer token: String) { headers.append(("Authorization", "Bearer \(token)")) }
}

extension HTTPPeer: CustomStringConvertible, CustomReflectable {
    /// For logs: where it is, and no secret.
    package var description: String { unixSocket ?? "\(origin)" }
    package var customMirror: Mirror { Mirror(self, children: ["origin": description]) }
}

/// Whom a client believes, and as whom it shows itself. At least TLS 1.2, always with the server's name checked.
package struct ClientTLS: Hashable, Sendable {
    /// Certificates or a key in PEM.
    package enum Source: Hashable, Sendable {
        case file(String)
        case bytes([UInt8])
    }

    /// The authorities that vouch for the server, and no others; nil for the system's, or those of OpenSSL's variables
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    package var authorities: Source?
    /// The client's certificate, with those between it and its authority.
    package var certificate: Source?
    package var key: Source?

    /// What OpenSSL's variables name; nil for the system's.
    package static var authoritiesFile: String? { variable("SSL_CERT_FILE") }
    package static var authoritiesFolder: String? { variable("SSL_CERT_DIR") }

    private static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    package init(authorities: Source? = nil, certificate: Source? = nil, key: Source? = nil) {
        self.authorities = authorities
        self.certificate = certificate
        self.key = key
    }
}

/// A proxy that connects to servers for the client. It is asked to resolve their names, too.
package struct HTTPProxy: Sendable {
    package var endpoint: HTTPEndpoint
    /// Sent to the proxy alone (RFC 7617).
    package var credentials: (user: String, password: String)?

    package init(_ endpoint: HTTPEndpoint, credentials: (user: String, password: String)? = nil) {
        self.endpoint = endpoint
        self.credentials = credentials
    }
}

/// Milliseconds after which a request is given up; nil for never.
package struct ClientDeadlines: Hashable, Sendable {
    /// For the look-up of the name, the connection and TLS.
    package var connect: UInt64 = 10_000
    /// For everything.
    package var total: UInt64?
    /// Without a byte in either direction, while nothing waits for this side.
    package var idle: UInt64?

    package init(connect: UInt64 = 10_000, total: UInt64? = 30_000, idle: UInt64? = nil) {
        self.connect = connect
        self.total = total
        self.idle = idle
    }
}

/// Bytes that an answer may have.
package struct ClientLimits: Hashable, Sendable {
    /// All of its heads: interim ones and trailers included.
    package var head = 64 << 10
    /// Of an answer that is collected; a stream has none.
    package var body = 4 << 20
    /// Of a line of a stream.
    package var line = 4 << 20

    package init() {}
}
