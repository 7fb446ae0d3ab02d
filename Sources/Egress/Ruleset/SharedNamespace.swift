import Addresses
import DNSFilter
import Netfilter
import NetworkPolicy

/// Packets in a sandbox's namespace that are not the sandbox's, if the filter shares the namespace.
package struct SharedNamespace: Hashable, Sendable {
    /// Marks the filter's own queries.
    package var filterMark: SocketMark?
    /// Name servers that the sandbox may ask directly, by the operator's choice.
    package var exemptNameservers: [IPAddress] = []

    package init(filterMark: SocketMark? = nil, exemptNameservers: [IPAddress] = []) {
        (self.filterMark, self.exemptNameservers) = (filterMark, exemptNameservers)
    }

    /// Matches of the packets to which no policy applies.
    package var matches: [[Expression]] {
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
    package static func from(_ mark: SocketMark) -> [Expression] { .mark(mark.mark) + .priority(mark.priority) }
}

/// Blocks packet sockets (CAP_NET_RAW), which hand frames directly to the device, below the output hook where a guard's
/// rules are.
package enum PacketRules {
    /// In the `netdev` family.
    package static let table = "sallyport_packets"

    /// On each device, passes only packets that were routed, and so went through the output chain, and ARP, which ends
    /// at the other side of the link. Loopback is included, where a packet socket could forge queries and answers.
    package static func install(devices: [String], reporting: RefusalReporting = .counted) -> Transaction {
        var change = Transaction(family: .netdev)
        change.removeTable(table)
        change.addTable(table)
        change.addSilentRefusal(.packetSocket, table: table, reporting)
        for device in devices {
            change.addChain(device, table: table, base: .egress(device: device, dropsByDefault: true))
            change.addRule(device, table: table, [.meta(.routeClass), .verdict(.accept)])
            change.addRule(device, table: table, .ethernetType(0x0806) + [.verdict(.accept)])
            change.addRule(device, table: table, [.verdict(.goto(RefusalReason.packetSocket.chain))])
        }
        return change
    }
}
