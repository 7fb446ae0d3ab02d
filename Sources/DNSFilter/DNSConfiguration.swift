import Addresses
import NetworkPolicy

/// `SO_MARK` and `SO_PRIORITY` of the filter's own sockets, by which the kernel's rules know their packets.
public struct SocketMark: Hashable, Sendable {
    public var mark: UInt32
    public var priority: UInt32

    public init(mark: UInt32, priority: UInt32) {
        self.mark = mark
        self.priority = priority
    }
}

/// The filter's settings. Times are milliseconds.
public struct DNSConfiguration: Hashable, Sendable {
    /// The answer for a denied name.
    public enum Refusal: String, Hashable, Sendable, CaseIterable {
        case nameError = "nxdomain"
        case refused
    }

    /// In the order of preference; the next is asked as well when one is slower than usual. Without any, allowed names
    /// get SERVFAIL.
    public var upstreams: [UpstreamAddress]
    /// How long to wait for one upstream. A question fails after twice this.
    public var timeout: UInt64 = 1500
    /// How often to probe an upstream that does not answer; 0 for never.
    public var probeInterval: UInt64 = 30_000
    /// The name that probes ask for; nil for the root's NS records.
    public var probeName: DomainName?
    /// Whether questions go upstream in random letter case, which answers must repeat (0x20).
    public var randomisesCase = true
    /// PEM file of the certificate authorities for upstreams over TLS; nil for the system's.
    public var tlsAuthorities: String?
    /// The most answers in the cache; 0 for no cache.
    public var cacheEntries = 4096
    /// The most bytes in the cache.
    public var cacheBytes = 2 << 20
    public var refusal = Refusal.nameError
    /// The most queries of one sandbox that may wait for an upstream; more get SERVFAIL.
    public var pendingPerSandbox = 256
    /// TCP connections of one sandbox.
    public var connectionsPerSandbox = 32
    /// How long a TCP connection of a sandbox may be idle.
    public var connectionIdle: UInt64 = 10_000
    /// Set on the sockets to the upstreams. Needed where they share a namespace with the sandbox; takes CAP_NET_ADMIN.
    public var upstreamMark: SocketMark?

    public init(upstreams: [UpstreamAddress]) { self.upstreams = upstreams }

    /// Whether upstreams with and without TLS are mixed. Since each can stand in for another, names could then leave in
    /// clear text.
    public var mixesClearText: Bool { Set(upstreams.map { $0.tls == nil }).count > 1 }

    /// The names of the `search` and `domain` lines of a resolv.conf(5): the site's own zones.
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

/// The sockets that receive one sandbox's queries: bound inside its namespace, non-blocking, the TCP ones listening.
/// The server owns them from `attach` on.
public struct DNSSockets: Hashable, Sendable {
    public var udp: [CInt]
    public var tcp: [CInt]
    /// Serve only connections that the kernel redirected here from port 53. Otherwise clients of the gateway, which
    /// connects to a sandbox's loopback on their behalf, could use up the sandbox's connections.
    public var tcpIsRedirected: Bool

    public init(udp: [CInt], tcp: [CInt], tcpIsRedirected: Bool = false) {
        self.udp = udp
        self.tcp = tcp
        self.tcpIsRedirected = tcpIsRedirected
    }
}
