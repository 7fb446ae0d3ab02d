import Netfilter

/// Blocks packet sockets (CAP_NET_RAW), which hand frames directly to the device, below the output hook where a guard's
/// rules are.
enum PacketRules {
    /// In the `netdev` family.
    static let table = "sallyport_packets"

    /// On each device, passes only packets that were routed, and so went through the output chain, and ARP, which ends
    /// at the other side of the link. Loopback is included, where a packet socket could forge queries and answers.
    static func install(devices: [String]) -> Transaction {
        var change = Transaction(family: .netdev)
        change.removeTable(table)
        change.addTable(table)
        for device in devices {
            change.addChain(device, table: table, base: .egress(device: device, dropsByDefault: true))
            change.addRule(device, table: table, [.meta(.routeClass), .verdict(.accept)])
            change.addRule(device, table: table, .ethernetType(0x0806) + [.verdict(.accept)])
        }
        return change
    }
}
