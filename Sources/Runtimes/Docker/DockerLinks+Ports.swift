import Logging
import Netfilter
import System

/// What forwards the machine's ports to containers that this machine has a link to.
extension DockerLinks {
    /// The rules for sandboxes of an earlier server. Those without a link have ended, and their address may be another's soon.
    static func forwarding(
        _ ports: DockerPorts, _ pool: AddressPool, linked: Set<UInt32>, link: (String, UInt32) -> SandboxLink
    ) -> PortForwarding? {
        guard let configuration = ports.configuration else { return nil }
        var forwarding = PortForwarding(configuration: configuration)
        let hosts = ports.hosts
        for (id, lease) in ports.all {
            guard let host = lease.host, hosts[id] == host, linked.contains(host), link(id, host).namespace.exists
            else { continue }
            forwarding.targets[id] = PortForwarding.Target(link(id, host), lease.ports, lease.sources, pool)
        }
        return forwarding
    }

    func publish(_ id: String, _ lease: DockerPorts.Lease) async throws(RuntimeError) {
        guard let target = target(id, lease) else { return }
        try await firewallThread.run { [firewall] () throws(RuntimeError) in try firewall.publish(id, target) }
    }

    func unpublish(_ id: String, _ lease: DockerPorts.Lease) async throws(RuntimeError) {
        guard let target = target(id, lease) else { return }
        try await firewallThread.run { [firewall] () throws(RuntimeError) in try firewall.unpublish(id, target) }
    }

    private func target(_ id: String, _ lease: DockerPorts.Lease) -> PortForwarding.Target? {
        guard let host = lease.host else { return nil }
        return PortForwarding.Target(link(id, host), lease.ports, lease.sources, pool)
    }
}
