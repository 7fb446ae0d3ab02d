import Addresses
import DNSFilter
import Egress
import NetworkPolicy

/// Docker's embedded resolver, on user-defined networks.
///
/// It forwards what it does not know to other servers, some from the host and some from inside the container's own
/// namespace. Queries of the latter kind would be redirected to the filter, which would ask the resolver again. So the
/// filter asks those servers directly.
struct DockerResolver: Hashable, Sendable {
    static let address = IPAddress("127.0.0.11")!

    /// The name servers to ask.
    let upstreams: [UpstreamAddress]
    /// Whether it is used although it may forward from inside the namespace, which resolv.conf does not tell.
    let mayAskItself: Bool

    /// - Parameter resolvConf: a resolv.conf(5). Since version 25 Docker lists in it the servers that the resolver
    ///   forwards to, with `host(ADDRESS)` for those asked from the host.
    init(resolvConf: String) {
        let named = DNSConfiguration.upstreams(fromResolvConf: resolvConf)
        let servers = Self.servers(resolvConf)
        let inside = (servers ?? []).compactMap { IPAddress($0) }.map { UpstreamAddress(address: $0) }
        let isAsked = named.contains { $0.address == Self.address }
        if isAsked, !inside.isEmpty, inside.count == servers?.count {
            upstreams = named.filter { $0.address != Self.address } + inside
            mayAskItself = false
        } else {
            upstreams = named
            mayAskItself = isAsked && servers == nil
        }
    }

    private static func servers(_ resolvConf: String) -> [Substring]? {
        let title = "# ExtServers: ["
        guard let line = resolvConf.split(separator: "\n").first(where: { $0.hasPrefix(title) }),
            let end = line.lastIndex(of: "]")
        else { return nil }
        return line[line.index(line.startIndex, offsetBy: title.count)..<end].split(separator: " ")
    }
}
