import Addresses
import Netfilter
import NetworkPolicy

#if canImport(Glibc)
    import Glibc
#endif

/// A sandbox's connection to the host: a namespace and a veth pair, routed point to point. There is no bridge, so
/// sandboxes do not share a link.
struct SandboxLink: Codable, Hashable, Sendable {
    /// The path of the namespace's mount.
    let namespacePath: String
    let hostLink: String
    let host: UInt32

    /// The prefix of all host ends, which firewall rules match.
    static let linkPrefix = "spv"
    static let sandboxLink = "eth0"
    /// The next hop of every sandbox, on its own link only.
    static let gateway = IPAddress("169.254.1.1")!
    static let gatewayV6 = IPAddress("fe80::1")!

    private static let hostHardware: [UInt8] = [0x02, 0x53, 0x50, 0, 0, 1]

    /// - Parameters:
    ///   - name: the sandbox's public name.
    ///   - folder: the server's folder of network namespaces.
    init(name: String, host: UInt32, tag: String, folder: String) {
        namespacePath = "\(folder)/\(name)"
        // Interface names have at most 15 characters.
        hostLink = Self.linkPrefix + tag.prefix(4) + String(host, radix: 36)
        self.host = host
    }

    /// The number of the sandbox that a link of the machine belongs to; nil for others' links.
    static func host(of link: String, tag: String) -> UInt32? {
        let start = linkPrefix + tag.prefix(4)
        return link.hasPrefix(start) ? UInt32(link.dropFirst(start.count), radix: 36) : nil
    }

    var namespace: NetworkNamespace { NetworkNamespace(existing: namespacePath) }

    private var sandboxHardware: [UInt8] {
        [
            0x02, 0x53, 0x50, UInt8(truncatingIfNeeded: host >> 16), UInt8(truncatingIfNeeded: host >> 8),
            UInt8(truncatingIfNeeded: host),
        ]
    }

    /// - Parameters:
    ///   - users: the ids of the sandbox's users and groups.
    ///   - mount: run in the namespace, for mounts that must be made there.
    func create(
        pool: AddressPool, users: IdentifierRange?, mount: @Sendable () -> Bool
    ) throws(NetfilterError) {
        let (folder, name) = namespacePath.splitAtLastSlash
        try connect(try NetworkNamespace.create(named: name, in: folder), pool: pool, users: users, mount: mount)
    }

    /// The same for the namespace of a process, which another program made and nothing is connected to.
    /// - Parameter isRight: asked when the namespace has its name here, so that it stays the same one, and nothing in it has been changed.
    func adopt(_ process: pid_t, pool: AddressPool, isRight: () -> Bool) throws(NetfilterError) {
        try namespace.attach(process: process)
        guard isRight() else { throw .invalid("process \(process) has ended, or is in this machine's own network") }
        // Engines close IPv6 where they have no addresses of it.
        try? namespace.run {
            for place in ["all", "default"] { Self.write("0", to: "/proc/sys/net/ipv6/conf/\(place)/disable_ipv6") }
        }
        try connect(namespace, pool: pool, users: nil) { true }
    }

    private func connect(
        _ namespace: NetworkNamespace, pool: AddressPool, users: IdentifierRange?, mount: @Sendable () -> Bool
    ) throws(NetfilterError) {
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
            try namespace.run {
                try Self.configureInside(address, addressV6)
                Self.allowUsers(users)
                guard mount() else {
                    throw NetfilterError.invalid("mounting a /sys: " + String(cString: strerror(errno)))
                }
            }
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

    /// The namespace belongs to the host, so the sandbox's root has no rights in it. Low ports and echo requests
    /// (ping(8) without raw sockets) are therefore allowed for everybody in it.
    private static func allowUsers(_ users: IdentifierRange?) {
        let groups = users.map(\.all) ?? 0...(IdentifierRange.size - 1)
        write("0", to: "/proc/sys/net/ipv4/ip_unprivileged_port_start")
        write("\(groups.lowerBound) \(groups.upperBound)", to: "/proc/sys/net/ipv4/ping_group_range")
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
            guard error.isExisting else { throw error }
            // The kernel is still removing an earlier sandbox's namespace, or the name is another program's.
            if let found = try route.identity(of: hostLink) {
                guard found.kind == "veth", found.hardware == Self.hostHardware else {
                    throw .invalid(
                        "the machine has a link \(hostLink) that is not this server's: choose another local.tag")
                }
                try route.deleteLink(hostLink)
            }
            try add()
        }
    }

    /// Removes everything. Missing parts are not an error.
    ///
    /// The pair goes with its namespace, which the kernel removes asynchronously, many at once. Deleting the link here
    /// would take 30 to 50 ms each.
    func delete() throws(NetfilterError) { try namespace.delete() }

    /// Records of earlier servers have a namespace in the folder of `ip netns`.
    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        hostLink = try values.decode(String.self, forKey: .hostLink)
        host = try values.decode(UInt32.self, forKey: .host)
        namespacePath =
            try values.decodeIfPresent(String.self, forKey: .namespacePath)
            ?? "/run/netns/" + values.decode(String.self, forKey: .namespaceName)
    }

    func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(namespacePath, forKey: .namespacePath)
        try values.encode(hostLink, forKey: .hostLink)
        try values.encode(host, forKey: .host)
    }

    private enum CodingKeys: String, CodingKey { case namespacePath, namespaceName, hostLink, host }

    static func write(_ text: String, to path: String) {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        _ = Glibc.write(descriptor, text, text.utf8.count)
        close(descriptor)
    }
}
