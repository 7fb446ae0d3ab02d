import Netfilter
import NetworkPolicy

#if canImport(Glibc)
    import Glibc
#endif

/// The way of one sandbox to the host: a namespace and a veth pair, routed from point to point. There is no bridge, so
/// that no two sandboxes share a link.
struct SandboxLink: Codable, Hashable, Sendable {
    /// The namespace's name, and the host's end of the pair.
    let namespaceName: String
    let hostLink: String
    let host: UInt32

    /// What every host end starts with; firewall rules match it.
    static let linkPrefix = "spv"
    static let sandboxLink = "eth0"
    /// The next hop of every sandbox, on its own link only.
    static let gateway = IPAddress("169.254.1.1")!
    static let gatewayV6 = IPAddress("fe80::1")!

    private static let hostHardware: [UInt8] = [0x02, 0x53, 0x50, 0, 0, 1]

    init(id: String, host: UInt32, tag: String) {
        namespaceName = "sp-\(tag)-\(id.prefix(13))"
        // Interface names have 15 characters at the most.
        hostLink = Self.linkPrefix + tag.prefix(4) + String(host, radix: 36)
        self.host = host
    }

    var namespacePath: String { NetworkNamespace.folder + "/" + namespaceName }
    var namespace: NetworkNamespace { NetworkNamespace(existing: namespacePath) }

    private var sandboxHardware: [UInt8] {
        [
            0x02, 0x53, 0x50, UInt8(truncatingIfNeeded: host >> 16), UInt8(truncatingIfNeeded: host >> 8),
            UInt8(truncatingIfNeeded: host),
        ]
    }

    func create(pool: AddressPool) throws(NetfilterError) {
        let namespace = try NetworkNamespace.create(named: namespaceName)
        let route = try RouteSocket()
        try addPair(route, namespace)
        let address = IPAddress.v4(pool.address(host)), addressV6 = IPAddress.v6(pool.addressV6(host))
        let peerHardware: [UInt8] = [0x02, 0x53, 0x51] + sandboxHardware.suffix(3)
        let link = try route.index(of: hostLink)
        try route.addAddress(Self.gateway, prefixLength: 32, link: link)
        try route.addAddress(Self.gatewayV6, prefixLength: 64, link: link)
        try route.setUp(hostLink)
        for target in [address, addressV6] {
            try route.setNeighbour(target, hardware: peerHardware, link: link)
            try route.addRoute(to: CIDRBlock(target), link: link, source: target.isIPv4 ? Self.gateway : nil)
        }
        Self.write("1", to: "/proc/sys/net/ipv4/conf/\(hostLink)/rp_filter")
        do {
            try namespace.run { try Self.configureInside(address, addressV6) }
        } catch let error as NetfilterError {
            throw error
        } catch {
            throw .invalid("\(error)")
        }
    }

    private static func configureInside(_ address: IPAddress, _ addressV6: IPAddress) throws(NetfilterError) {
        let route = try RouteSocket()
        let link = try route.index(of: sandboxLink)
        try route.addAddress(address, prefixLength: 32, link: link)
        try route.addAddress(addressV6, prefixLength: 128, link: link)
        try route.setUp(sandboxLink)
        for (gateway, everything) in [(gateway, "0.0.0.0/0"), (gatewayV6, "::/0")] {
            try route.setNeighbour(gateway, hardware: hostHardware, link: link)
            try route.addRoute(to: CIDRBlock(everything)!, link: link, via: gateway)
        }
    }

    private func addPair(_ route: RouteSocket, _ namespace: NetworkNamespace) throws(NetfilterError) {
        func add() throws(NetfilterError) {
            try route.addVirtualPair(
                hostLink, address: Self.hostHardware, peer: Self.sandboxLink,
                peerAddress: [0x02, 0x53, 0x51] + sandboxHardware.suffix(3), peerNamespace: namespace)
        }
        do throws(NetfilterError) {
            try add()
        } catch {
            // The kernel is still taking an earlier sandbox's namespace apart.
            guard error.isExisting else { throw error }
            try route.deleteLink(hostLink)
            try add()
        }
    }

    /// Takes everything away; what is not there is no error.
    ///
    /// The pair goes with its namespace, which the kernel takes apart in its own time, many at once: deleting the link here
    /// would wait 30 to 50 ms for each.
    func delete() throws(NetfilterError) { try namespace.delete() }

    static func write(_ text: String, to path: String) {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        _ = Glibc.write(descriptor, text, text.utf8.count)
        close(descriptor)
    }
}
