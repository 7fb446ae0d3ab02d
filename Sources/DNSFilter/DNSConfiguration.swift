import NetworkPolicy

/// What tells the packets of the filter's own sockets in the kernel: `SO_MARK` and `SO_PRIORITY`.
public struct SocketMark: Hashable, Sendable {
    public var mark: UInt32
    public var priority: UInt32

    public init(mark: UInt32, priority: UInt32) {
        self.mark = mark
        self.priority = priority
    }
}

/// How the filter works. Times are milliseconds.
public struct DNSConfiguration: Hashable, Sendable {
    /// What a denied name gets.
    public enum Refusal: String, Hashable, Sendable {
        case nameError = "nxdomain"
        case refused
    }

    /// Asked in this order; the next one also when one is slower than usual. With none, every allowed name gets SERVFAIL.
    public var upstreams: [UpstreamAddress]
    /// How long one upstream may take. A question fails after twice this.
    public var timeout: UInt64 = 1500
    /// How often an upstream that does not answer is tried; 0 for never but by questions.
    public var probeInterval: UInt64 = 30_000
    /// What it is asked for; nil is the root's NS records.
    public var probeName: DomainName?
    /// Letters of questions go upstream in random case, and answers must repeat it (0x20).
    public var randomisesCase = true
    /// A PEM file of the authorities that may vouch for upstreams over TLS; nil for the system's.
    public var tlsAuthorities: String?
    /// Answers that the cache holds; 0 for no cache.
    public var cacheEntries = 4096
    /// Bytes that they may take.
    public var cacheBytes = 2 << 20
    public var refusal = Refusal.nameError
    /// Queries of one sandbox that may wait for an upstream; more get SERVFAIL.
    public var pendingPerSandbox = 256
    /// TCP connections of one sandbox.
    public var connectionsPerSandbox = 32
    /// How long a TCP connection of a sandbox may be idle.
    public var connectionIdle: UInt64 = 10_000
    /// Set on the sockets to the upstreams; needed where they share a namespace with the sandbox. Takes CAP_NET_ADMIN.
    public var upstreamMark: SocketMark?

    public init(upstreams: [UpstreamAddress]) { self.upstreams = upstreams }

    /// Whether names that should go over TLS could end up in clear text: upstreams of both kinds stand for each other.
    public var mixesClearText: Bool { Set(upstreams.map { $0.tls == nil }).count > 1 }

    /// The names of the `search` and `domain` lines of a resolv.conf(5): zones of the site's own.
    public static func searchDomains(fromResolvConf text: String) -> [DomainName] {
        text.split(separator: "\n").flatMap { line -> [DomainName] in
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard let keyword = words.first, keyword == "search" || keyword == "domain" else { return [] }
            return words.dropFirst().compactMap { try? DomainName(String($0)) }
        }
    }

    /// The `nameserver` lines of a resolv.conf(5).
    public static func upstreams(fromResolvConf text: String) -> [UpstreamAddress] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard words.count >= 2, words[0] == "nameserver" else { return nil }
            return IPAddress(words[1]).map { UpstreamAddress(address: $0) }
        }
    }
}

/// The sockets through which one sandbox asks: bound inside its namespace, non-blocking, the TCP ones listening.
/// The server owns them from `attach` on.
public struct DNSSockets: Hashable, Sendable {
    public var udp: [CInt]
    public var tcp: [CInt]
    /// Only connections that the kernel redirected here from port 53 are served. What the gateway dials on a sandbox's loopback
    /// for others would otherwise hold the sandbox's own places.
    public var tcpIsRedirected: Bool

    public init(udp: [CInt], tcp: [CInt], tcpIsRedirected: Bool = false) {
        self.udp = udp
        self.tcp = tcp
        self.tcpIsRedirected = tcpIsRedirected
    }
}
