import Addresses
import DNSFilter
import NetworkPolicy

/// Traffic that is refused in a namespace that the guard shares with the sandbox, whatever a policy says. The rules that
/// refuse it are a sidecar's (`SidecarRuleset`).
package struct ReservedTraffic: Sendable {
    private let apiPort: UInt16
    /// Whether loopback may ask the policy API.
    private let answersInside: Bool
    private let upstreams: Set<UpstreamAddress>
    /// To which no port but the filter's leads.
    private let resolver: IPAddress

    package init(apiPort: UInt16, answersInside: Bool, upstreams: Set<UpstreamAddress>, resolver: IPAddress) {
        (self.apiPort, self.answersInside) = (apiPort, answersInside)
        (self.upstreams, self.resolver) = (upstreams, resolver)
    }

    /// Whether none of this traffic passes. Of the policy API's port TCP is meant where nothing is said.
    /// - Parameter isOwn: whether it is an address of this namespace.
    package func contains(_ address: IPAddress, _ scope: TrafficScope, isOwn: Bool) -> Bool {
        guard let range = scope.ports.first, scope.ports.count == 1 else { return false }
        if address == resolver { return !range.contains(53) }
        guard range.count == 1 else { return false }
        let port = range.lowerBound
        if port == apiPort, isOwn, scope.transport != .udp, !(answersInside && address.isLoopback) { return true }
        return port != 53 && upstreams.contains { $0.address == address && $0.port == port }
    }
}
