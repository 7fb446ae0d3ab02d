import NetworkPolicy

/// A resolver that allowed queries are forwarded to.
public struct UpstreamAddress: Hashable, Sendable, CustomStringConvertible {
    public var address: IPAddress
    public var port: UInt16

    public init(address: IPAddress, port: UInt16 = 53) {
        self.address = address
        self.port = port
    }

    /// `198.51.100.53`, `198.51.100.53:5353`, `2001:db8::53`, `[2001:db8::53]:5353`
    public init?(_ text: String) {
        if let address = IPAddress(text) {
            self.init(address: address)
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard let address = IPv6Address(host) else { return nil }
            self.init(address: .v6(address), port: port)
        } else {
            guard let address = IPv4Address(host) else { return nil }
            self.init(address: .v4(address), port: port)
        }
    }

    public var description: String { address.isIPv4 ? "\(address):\(port)" : "[\(address)]:\(port)" }
}

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

    /// Asked in this order. With none, every allowed name gets SERVFAIL.
    public var upstreams: [UpstreamAddress]
    /// How long one upstream may take before the next is asked.
    public var timeout: UInt64 = 1500
    /// Answers that the cache holds; 0 for no cache.
    public var cacheEntries = 4096
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

    public init(udp: [CInt], tcp: [CInt]) {
        self.udp = udp
        self.tcp = tcp
    }
}
