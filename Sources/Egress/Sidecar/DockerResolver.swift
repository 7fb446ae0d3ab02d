import DNSFilter
import NetworkPolicy

/// Docker's resolver for networks with names of their own.
///
/// What it does not know itself it asks further servers: some from the host, others from inside the very namespace that it
/// serves. There such a question is one of the namespace's and leads to the filter, which would ask the resolver again. So
/// the filter asks those servers itself.
struct DockerResolver: Hashable, Sendable {
    static let address = IPAddress("127.0.0.11")!

    /// The name servers to ask.
    let upstreams: [UpstreamAddress]
    /// Whether it is asked though nothing says from where it asks others.
    let mayAskItself: Bool

    /// - Parameter resolvConf: a resolv.conf(5). Since version 25 Docker notes in it which servers the resolver asks, those
    ///   that it asks from the host as `host(ADDRESS)`.
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
