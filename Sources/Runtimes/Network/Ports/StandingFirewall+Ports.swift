import Addresses
import Netfilter

/// Published ports of sandboxes that this machine has a link to.
extension StandingFirewall {
    /// Only when the sandbox is guarded: from here on packets reach it.
    func publish(_ id: String, _ target: PortForwarding.Target) throws(RuntimeError) {
        // Programs of this machine connect from 127.0.0.1. What a sandbox sends to such an address, the rules for what arrives
        // refuse.
        SandboxLink.write("1", to: "/proc/sys/net/ipv4/conf/\(target.link)/route_localnet")
        let hasRoom = try LocalEngine.translated("publishing ports of \(id)") { () throws(NetfilterError) in
            try forward(id, target)
        }
        guard hasRoom else { throw .noRulesLeft }
    }

    /// Ends the connections, too, or a client's next one could be taken for one of them.
    func unpublish(_ id: String, _ target: PortForwarding.Target) throws(RuntimeError) {
        let ends: Set<IPAddress> = [.v4(target.address), .v6(target.addressV6)]
        let ports = Set(target.ports.map(\.at))
        try LocalEngine.translated("releasing ports of \(id)") { () throws(NetfilterError) in
            _ = try forward(id, nil)
            try Conntrack().delete { flow in
                ends.contains(flow.replySource) && ports.contains(flow.destinationPort)
            }
        }
    }
}

extension PortForwarding.Target {
    /// - Parameter sources: nil for all whom the server allows.
    init(_ link: SandboxLink, _ ports: [PublishedPort], _ sources: SourceList?, _ pool: AddressPool) {
        self.init(
            link: link.hostLink, address: pool.address(link.host), addressV6: pool.addressV6(link.host), ports: ports,
            sources: sources ?? SourceList(allow: CIDRBlock.everything))
    }
}
