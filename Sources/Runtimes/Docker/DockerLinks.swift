import Addresses
import CLinux
import Logging
import Netfilter
import NetworkPolicy
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The networks of containers: each is made by the engine without any, and gets the same routed link to this machine that
/// a local sandbox has, before its program begins. A container that is started again by hand has none.
final class DockerLinks: Sendable {
    private let configuration: DockerConfiguration
    private let leases: Mutex<Leases>
    let firewall: StandingFirewall
    private let logger: Logger
    /// Netlink blocks.
    private let threads = WorkerPool(maxThreads: 16)
    let firewallThread = WorkerPool(maxThreads: 1)
    private let passageThread = WorkerPool(maxThreads: 1)

    /// The longest time, plus the work itself, that the host is without its rules.
    private static let firewallInterval = Duration.seconds(1)
    /// The same of the rules that let packets pass, without which less is open. Each look starts two programs.
    private static let passageInterval = Duration.seconds(30)

    private struct Leases {
        var pool: AddressPool
        /// The numbers of sandboxes.
        var hosts: [String: UInt32] = [:]
        /// Those that links had when this server started, whose sandboxes are not all known yet.
        var found: Set<UInt32> = []
    }

    /// Checks requirements and installs the host's rules.
    init(_ given: DockerConfiguration, _ ports: DockerPorts, logger: Logger) throws(RuntimeError) {
        guard geteuid() == 0 else { throw .notRoot }
        var configuration = given
        mkdir(given.namespaceDirectory, 0o700)
        guard let folder = realpath(given.namespaceDirectory, nil) else {
            throw .system(action: "making \(given.namespaceDirectory)", reason: String(cString: strerror(errno)))
        }
        configuration.namespaceDirectory = String(cString: folder)
        free(folder)
        let missing = KernelFeatures.probe(
            namespaceName: "probe-\(UInt32.random(in: 0 ... .max))", in: configuration.namespaceDirectory)
        if let first = missing.first { throw .missingKernelFeature(first.description) }
        var pool = AddressPool(block: configuration.addressPool, blockV6: configuration.addressPoolV6)
        // Whatever the engine says later: a link that is there has its address.
        let links = (try? RouteSocket().links()) ?? []
        let found = Set(links.compactMap { SandboxLink.host(of: $0.name, tag: given.tag) })
        for host in found { pool.occupy(host) }
        // Ports that are kept for a sandbox keep its address for it, or they would forward to the next that has it.
        let hosts = ports.hosts
        for host in hosts.values { pool.occupy(host) }
        leases = Mutex(Leases(pool: pool, hosts: hosts, found: found))
        self.configuration = configuration
        self.logger = logger
        let rules = HostFirewall(
            table: HostRules.table(tag: configuration.tag), pool: configuration.addressPool,
            poolV6: configuration.addressPoolV6, links: "\(SandboxLink.linkPrefix)\(configuration.tag.prefix(4))*",
            reachableBy: configuration.reachableBy,
            forwarding: Self.forwarding(ports, pool, linked: found) { Self.link($0, $1, configuration) })
        firewall = try Self.translated("setting the host's rules") { () throws(NetfilterError) in
            try StandingFirewall(rules)
        }
        let obstacles = try Self.translated("looking at the host's rules") { [firewall] () throws(NetfilterError) in
            try firewall.obstacles
        }
        for obstacle in obstacles { rules.warn(of: obstacle, logger) }
        for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            SandboxLink.write("1", to: "/proc/sys/net/\(path)")
        }
        Task { [weak self] in
            while true {
                try? await Task.sleep(for: Self.firewallInterval)
                guard let self else { return }
                await self.restoreFirewall()
            }
        }
        Task { [weak self] in
            while true {
                try? await Task.sleep(for: Self.passageInterval)
                guard let self else { return }
                await self.openPassage()
            }
        }
    }

    private func restoreFirewall() async {
        guard configuration.keepsRules else { return }
        await firewallThread.run { [firewall, logger] in firewall.keep(logger) }
    }

    // MARK: addresses

    /// - Throws: `.noAddressLeft`.
    func lease(_ id: String) async throws(RuntimeError) -> UInt32 {
        if let host = tryLease(id) { return host }
        await threads.run { self.reclaim() }
        guard let host = tryLease(id) else { throw .noAddressLeft(pool: "\(configuration.addressPool)") }
        return host
    }

    private func tryLease(_ id: String) -> UInt32? {
        leases.withLock { leases in
            let host = leases.pool.lease()
            if let host { leases.hosts[id] = host }
            return host
        }
    }

    /// Takes in a number that an engine's label tells.
    /// - Returns: false where another sandbox has it now, which may be given the number of one that was taken for gone.
    @discardableResult
    func occupy(_ id: String, _ host: UInt32) -> Bool {
        leases.withLock { leases in
            if let known = leases.hosts[id] { return known == host }
            guard !leases.hosts.values.contains(host) else { return false }
            leases.pool.occupy(host)
            leases.hosts[id] = host
            return true
        }
    }

    func address(_ host: UInt32) -> IPv4Address { pool.address(host) }
    var pool: AddressPool { leases.withLock { $0.pool } }

    private static func link(_ id: String, _ host: UInt32, _ configuration: DockerConfiguration) -> SandboxLink {
        SandboxLink(
            name: SandboxName.of(id), host: host, tag: configuration.tag, folder: configuration.namespaceDirectory)
    }

    func link(_ id: String, _ host: UInt32) -> SandboxLink { Self.link(id, host, configuration) }

    func namespace(_ id: String) -> NetworkNamespace { link(id, 0).namespace }

    func placement(_ id: String, _ host: UInt32) -> SandboxPlacement {
        let addresses = leases.withLock { (v4: $0.pool.address(host), v6: $0.pool.addressV6(host)) }
        return SandboxPlacement(
            .namespace(path: namespace(id).path), .machine(address: "\(addresses.v4)", addressV6: "\(addresses.v6)"))
    }

    /// Lets sandboxes reach the outside past the engine's own firewall, where it has one on this machine.
    func openPassage() async {
        guard configuration.keepsRules else { return }
        let passage = EnginePassage(
            links: SandboxLink.linkPrefix + configuration.tag.prefix(4), addresses: configuration.addressPool,
            addressesV6: configuration.addressPoolV6, folder: configuration.stateDirectory,
            publishes: configuration.ports != nil)
        let count = await passageThread.run { passage.open() }
        if count > 0 {
            logger.info(
                "added rules to the engine's firewall that let sandboxes' links pass", metadata: ["rules": "\(count)"])
        }
    }

    // MARK: one sandbox

    /// Connects a container that runs, and in which nothing of its image does.
    /// - Parameters:
    ///   - process: its first process, as the engine says.
    ///   - container: its id in the engine.
    func connect(_ id: String, host: UInt32, _ process: ContainerProcess) async throws(RuntimeError) {
        let link = link(id, host), pool = pool
        try await threads.run { () throws(RuntimeError) in
            try process.check()
            do throws(RuntimeError) {
                try Self.translated("making the network of \(id)") { () throws(NetfilterError) in
                    // Only with its namespace in hand is it certain whose that is.
                    try link.adopt(process.number, pool: pool) { !process.hasEnded && !link.namespace.isOwn }
                }
                guard !process.hasEnded else { throw .startFailed(id: id, reason: "its first process has ended") }
            } catch {
                try? link.delete()
                throw error
            }
        }
    }

    /// Takes a sandbox's network away. There may be none.
    func remove(_ id: String) async throws(RuntimeError) {
        let link = link(id, 0)
        try await threads.run { () throws(RuntimeError) in
            try Self.translated("removing the network of \(id)") { () throws(NetfilterError) in try link.delete() }
        }
        leases.withLock { leases in
            if let host = leases.hosts.removeValue(forKey: id) { leases.pool.release(host) }
        }
    }

    /// Frees the numbers of links that were there when this server started and have gone since, with their containers.
    private func reclaim() {
        guard let links = try? RouteSocket().links() else { return }
        let there = Set(links.compactMap { SandboxLink.host(of: $0.name, tag: configuration.tag) })
        leases.withLock { leases in
            let known = Set(leases.hosts.values)
            for host in leases.found where !there.contains(host) {
                leases.found.remove(host)
                if !known.contains(host) { leases.pool.release(host) }
            }
        }
    }

    private static func translated<Result>(
        _ action: String, _ body: () throws(NetfilterError) -> Result
    ) throws(RuntimeError) -> Result {
        try LocalEngine.translated(action, body)
    }
}

extension NetworkNamespace {
    /// Whether it is the one that this process is in, or the machine's first.
    fileprivate var isOwn: Bool {
        var other = stat()
        guard stat(path, &other) == 0 else { return true }
        return ["/proc/self/ns/net", "/proc/1/ns/net"].contains { name in
            var own = stat()
            return stat(name, &own) == 0 && (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)
        }
    }
}
