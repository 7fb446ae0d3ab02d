import Addresses
import FoundationEssentials
import Logging
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Published ports of containers. Who has which is kept in a file for each sandbox: they are the same after a restart of this
/// server, and its rules about them are there before the engine answers.
final class DockerPorts: Sendable {
    struct Lease: Codable, Hashable, Sendable {
        /// The number of the sandbox's link; nil where the engine makes the network.
        var host: UInt32?
        var ports: [PublishedPort]
        /// nil for all whom the server allows.
        var sources: SourceList?
    }

    /// nil where no ports are published.
    let configuration: PortConfiguration?
    private let hostPorts: HostPorts?
    private let folder: String
    private let leases: Mutex<[String: Lease]>

    /// - Parameters:
    ///   - folder: of the files, made if missing.
    ///   - holds: false where the engine binds the ports.
    /// - Throws: `.system` if the folder cannot be made or read.
    init(
        _ configuration: PortConfiguration?, folder: String, holds: Bool, logger: Logger
    ) throws(RuntimeError) {
        self.configuration = configuration
        self.folder = folder
        hostPorts = configuration.map { HostPorts($0) }
        mkdir(folder, 0o700)
        guard let names = File.names(in: folder) else {
            throw .system(action: "reading \(folder)", reason: String(cString: strerror(errno)))
        }
        // Of a server that was killed before the file had its name. No other sandbox has the id, so nobody would write over it.
        for name in names where name.hasSuffix(ReplacementFile.suffix) {
            guard LocalEngine.isIdentifier(String(name.dropLast(ReplacementFile.suffix.count))) else { continue }
            unlink(folder + "/" + name)
        }
        var found: [String: Lease] = [:]
        for id in names where LocalEngine.isIdentifier(id) {
            guard let bytes = try? File.read(folder + "/" + id),
                let lease = try? JSONDecoder().decode(Lease.self, from: Data(bytes))
            else {
                // Never its port for another sandbox's client: it is published no longer.
                logger.error(
                    "the record of a sandbox's published ports cannot be read: they are published no longer",
                    metadata: ["sandbox": "\(id)"])
                continue
            }
            found[id] = lease
            for port in hostPorts?.occupy(lease.ports, holds: holds) ?? [] {
                logger.warning(
                    "another program has a published port of a sandbox, which goes on getting its connections",
                    metadata: ["sandbox": "\(id)", "port": "\(port.at)"])
            }
        }
        leases = Mutex(found)
    }

    /// Those of earlier servers, and of this one.
    var all: [String: Lease] { leases.withLock(\.self) }

    /// The number of each one's link, of two that claim one number the first in the order of ids.
    var hosts: [String: UInt32] {
        var hosts: [String: UInt32] = [:], taken: Set<UInt32> = []
        for (id, lease) in all.sorted(by: { $0.key < $1.key }) {
            guard let host = lease.host, taken.insert(host).inserted else { continue }
            hosts[id] = host
        }
        return hosts
    }

    /// nil where the sandbox has none.
    subscript(id: String) -> Lease? { leases.withLock { $0[id] } }

    /// A port of the machine for each that the request names; durable when this returns.
    /// - Parameter host: as `Lease.host`.
    func lease(_ id: String, _ request: PortRequest?, host: UInt32?) throws(RuntimeError) {
        guard let request, !request.ports.isEmpty else { return }
        guard let hostPorts else { throw .unsupported("publishing ports ([local.ports])") }
        let lease = Lease(host: host, ports: try hostPorts.lease(request.ports), sources: request.sources)
        do throws(SystemCallError) {
            // Numbers and texts can always be encoded.
            try File.replace(folder + "/" + id, with: [UInt8](try! JSONEncoder().encode(lease)), mode: 0o600)
        } catch {
            hostPorts.release(lease.ports)
            throw .system(action: "writing \(folder)/\(id)", reason: "\(error)")
        }
        leases.withLock { $0[id] = lease }
    }

    /// Gives up the sockets that hold a sandbox's ports, just before the engine binds them.
    func letGo(_ id: String) { if let lease = self[id] { hostPorts?.letGo(lease.ports) } }

    func release(_ id: String) {
        let lease = leases.withLock { $0.removeValue(forKey: id) }
        unlink(folder + "/" + id)
        if let lease { hostPorts?.release(lease.ports) }
    }
}

extension SourceList {
    /// What an engine binds a port to, as it knows no other limit; nil for a list that it cannot enforce. "" is every address.
    package var engineAddress: String? {
        switch (Set(allow), deny.isEmpty) {
        case (Set(Self.machine.allow), true): "127.0.0.1"
        case (Set(CIDRBlock.everything), true): ""
        default: nil
        }
    }
}
