import Addresses
import DNSFilter
import Netfilter
import NetworkPolicy

/// Packets in a sandbox's namespace that are not the sandbox's, if the filter shares the namespace.
struct SharedNamespace: Hashable, Sendable {
    /// Marks the filter's own queries.
    var filterMark: SocketMark?
    /// Name servers that the sandbox may ask directly, by the operator's choice.
    var exemptNameservers: [IPAddress] = []

    /// Matches of the packets to which no policy applies.
    var matches: [[Expression]] {
        var found: [[Expression]] = filterMark.map { [.from($0)] } ?? []
        for address in exemptNameservers {
            for transport in [IPProtocol.udp, IPProtocol.tcp] {
                found.append(.destination(CIDRBlock(address)) + .destinationPort(53, transport: transport))
            }
        }
        return found
    }
}

extension [Expression] {
    /// `meta mark MARK meta priority PRIORITY`
    static func from(_ mark: SocketMark) -> [Expression] { .mark(mark.mark) + .priority(mark.priority) }
}
