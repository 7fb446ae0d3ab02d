import Addresses
import Logging
import Netfilter
import Synchronization

/// Published ports of sandboxes.
extension LocalEngine {
    func lease(_ request: PortRequest?) throws(RuntimeError) -> [PublishedPort]? {
        guard let request, !request.ports.isEmpty else { return nil }
        guard let hostPorts else { throw .unsupported("publishing ports ([local.ports])") }
        return try hostPorts.lease(request.ports)
    }

    /// Where a record's ports lead to; nil if it has none.
    static func target(of record: SandboxRecord, _ pool: AddressPool) -> PortForwarding.Target? {
        guard let ports = record.ports, !ports.isEmpty else { return nil }
        let everybody = SourceList(allow: CIDRBlock.everything)
        return PortForwarding.Target(
            link: record.link.hostLink, address: pool.address(record.link.host),
            addressV6: pool.addressV6(record.link.host), ports: ports,
            sources: record.spec.ports?.sources ?? everybody)
    }

    /// Only when the sandbox is guarded: from here on packets reach it.
    func publish(_ record: SandboxRecord) throws(RuntimeError) {
        guard let target = Self.target(of: record, state.withLock { $0.pool }) else { return }
        // Programs of this machine connect from 127.0.0.1. What a sandbox sends to such an address, the rules for what arrives
        // refuse.
        SandboxLink.write("1", to: "/proc/sys/net/ipv4/conf/\(record.link.hostLink)/route_localnet")
        let hasRoom = try Self.translated("publishing ports of \(record.spec.id)") { () throws(NetfilterError) in
            try firewall.forward(record.spec.id, target)
        }
        guard hasRoom else { throw .noRulesLeft }
    }

    /// Ends the connections, too, or a client's next one could be taken for one of them.
    func unpublish(_ record: SandboxRecord) throws(RuntimeError) {
        guard let target = Self.target(of: record, state.withLock { $0.pool }) else { return }
        let ends: Set<IPAddress> = [.v4(target.address), .v6(target.addressV6)]
        let ports = Set(target.ports.map(\.at))
        try Self.translated("releasing ports of \(record.spec.id)") { () throws(NetfilterError) in
            _ = try firewall.forward(record.spec.id, nil)
            try Conntrack().delete { flow in
                ends.contains(flow.replySource) && ports.contains(flow.destinationPort)
            }
        }
    }

    /// The rules for sandboxes of an earlier server that run. Their ports are leased to them again.
    static func forwarding(
        _ hostPorts: HostPorts?, _ found: [(record: SandboxRecord, isRunning: Bool)], _ pool: AddressPool,
        _ logger: Logger
    ) -> PortForwarding? {
        guard let hostPorts else { return nil }
        var forwarding = PortForwarding(configuration: hostPorts.configuration)
        for (record, isRunning) in found {
            for port in hostPorts.occupy(record.ports ?? []) {
                logger.warning(
                    "another program has a published port of a sandbox, which goes on getting its connections",
                    metadata: ["sandbox": "\(record.spec.id)", "port": "\(port.at)"])
            }
            if isRunning { forwarding.targets[record.spec.id] = target(of: record, pool) }
        }
        return forwarding
    }
}
