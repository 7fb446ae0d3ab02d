import DNSFilter
import Netfilter
import NetworkPolicy

/// What a sandbox's namespace carries besides the sandbox's packets, where the filter lives in it, too.
struct SharedNamespace: Hashable, Sendable {
    /// Tells the filter's own queries from what the sandbox sends.
    var filterMark: SocketMark?
    /// Name servers that the operator lets the sandbox ask without the filter.
    var exemptNameservers: [IPAddress] = []

    /// Rule parts for the packets that no policy is asked about.
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
