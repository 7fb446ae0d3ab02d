import Addresses

/// Which addresses a name may resolve to. A public name that yields a private address is DNS rebinding, or a mistake.
public struct AnswerFilter: Sendable {
    private let internalZones: [DomainName]
    private let internalRanges: [CIDRBlock]

    /// The zone of a Kubernetes cluster's own names.
    public static let cluster = try! DomainName("cluster.local")

    /// - Parameters:
    ///   - internalZones: names at and below these may yield private addresses.
    ///   - internalRanges: which private addresses these may be. Loopback, link-local and metadata addresses are never
    ///     allowed.
    public init(internalZones: [DomainName] = [], internalRanges: [CIDRBlock] = AnswerFilter.privateRanges) {
        self.internalZones = internalZones
        self.internalRanges = internalRanges
    }

    /// Addresses that are private to a site.
    public static let privateRanges = Reach.sites

    /// Whether `address` may be handed out for `name` and learned. An address rule of the policy that allows this very
    /// address lifts the filter for it.
    public func permits(_ address: IPAddress, for name: DomainName, policy: PolicyEvaluator) -> Bool {
        permits(address, for: name) || policy.allowsByAddressRule(address)
    }

    /// Whether the filter lets the name yield the address, without looking at address rules. Where only an address rule
    /// lifts the filter, that rule alone says what is open; the name adds nothing.
    public func permits(_ address: IPAddress, for name: DomainName) -> Bool {
        switch Reach(address) {
        case .everywhere: true
        case .site: isInternal(name) && internalRanges.contains { $0.contains(address) }
        case .never: false
        }
    }

    private func isInternal(_ name: DomainName) -> Bool {
        internalZones.contains { name == $0 || name.isSubdomain(of: $0) }
    }
}

/// How far an address reaches, by the IANA special-purpose registries.
enum Reach {
    /// A global address.
    case everywhere
    /// Private to a site: a name of an internal zone may yield it.
    case site
    /// Loopback, link-local, metadata services, multicast, and IPv6 forms that contain an IPv4 address.
    case never

    init(_ address: IPAddress) {
        if Self.nevers.contains(where: { $0.contains(address) }) {
            self = .never
        } else if Self.sites.contains(where: { $0.contains(address) }) {
            self = .site
        } else {
            self = .everywhere
        }
    }

    private static func blocks(_ texts: [String]) -> [CIDRBlock] { texts.map { CIDRBlock($0)! } }

    // The documentation ranges and 198.18.0.0/15 are left out: nothing routes them, and test networks use them.
    static let sites = blocks([
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  // RFC 1918
        "100.64.0.0/10",  // RFC 6598, carrier-grade NAT
        "fc00::/7",  // RFC 4193, unique local
    ])
    private static let nevers =
        blocks([
            "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4",
            "240.0.0.0/4",
            "::/96",  // unspecified, loopback, IPv4-compatible
            "::ffff:0:0/96",  // IPv4-mapped
            "64:ff9b::/96", "64:ff9b:1::/48",  // NAT64, RFC 6052 and 8215
            "100::/64", "2001::/32", "2002::/16",  // discard, Teredo, 6to4
            "fe80::/10", "fec0::/10", "ff00::/8",
        ]) + MetadataService.blocks
}
