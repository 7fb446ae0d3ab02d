import Netfilter

/// Keeps packet sockets (CAP_NET_RAW) from what the rules forbid: they hand their frames to the device itself, below the
/// output hook, where a guard's rules are.
enum PacketRules {
    /// In the `netdev` family.
    static let table = "sallyport_packets"

    /// Lets by each device only what took a route, and with it the output chain, and ARP, which ends at the link's other
    /// side. On loopback, a packet socket's frames would be somebody's queries or answers.
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
