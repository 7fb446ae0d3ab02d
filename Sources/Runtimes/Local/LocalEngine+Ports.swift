import Logging
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
        return PortForwarding.Target(record.link, ports, record.spec.ports?.sources, pool)
    }

    /// Only when the sandbox is guarded.
    func publish(_ record: SandboxRecord) throws(RuntimeError) {
        guard let target = Self.target(of: record, state.withLock { $0.pool }) else { return }
        try firewall.publish(record.spec.id, target)
    }

    func unpublish(_ record: SandboxRecord) throws(RuntimeError) {
        guard let target = Self.target(of: record, state.withLock { $0.pool }) else { return }
        try firewall.unpublish(record.spec.id, target)
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
