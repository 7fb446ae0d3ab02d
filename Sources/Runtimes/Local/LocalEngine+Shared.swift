import Addresses
import Logging
import Netfilter
import Synchronization

/// Sandboxes that share the machine's network (docs/networking.md#the-machines-own-network).
extension LocalEngine {
    /// Where this machine dials a sandbox's execd.
    func execd(of record: SandboxRecord) -> (address: IPv4Address, port: UInt16) {
        guard let shared = record.shared else {
            return (state.withLock { $0.pool.address(record.link.host) }, StartWait.execdPort)
        }
        return (SharedNetwork.address, shared.execd)
    }

    /// The network of a new sandbox: a link of its own, or nothing but its /sys.
    func makeNetwork(of record: SandboxRecord, in folder: SandboxFolder) throws(RuntimeError) {
        let id = record.spec.id
        guard record.shared != nil else {
            let pool = state.withLock { $0.pool }
            return try Self.translated("making the network of \(id)") { () throws(NetfilterError) in
                try record.link.create(pool: pool, users: record.users) { folder.mountSystem() }
            }
        }
        // Without one its root would be the machine's, whom others on the same network trust.
        guard let users = record.users else { throw .noUserNamespaces("local.network_mode = \"host\" needs them") }
        try listeners.give(id, to: users)
        guard folder.mountSystem() else { throw SandboxFolder.failure("mounting a /sys for \(id)") }
    }

    /// Holds the ports of sandboxes of an earlier server.
    func takeBackListeners(_ found: [(record: SandboxRecord, folder: SandboxFolder)]) {
        for (record, folder) in found {
            guard let shared = record.shared else { continue }
            guard !listeners.takeBack(record.spec.id, shared, from: process(in: folder)) else { continue }
            logger.warning(
                "the port of a sandbox's execd could not be taken over: another program has it",
                metadata: ["sandbox": "\(record.spec.id)", "port": "\(shared.execd)"])
        }
    }

    /// Whether what a connection to a port of loopback reaches belongs to the sandbox: at 127.0.0.1, or at ::1 where nothing listens
    /// there. True of any port where it has a network of its own. Who listens at other addresses takes nobody's port away.
    func serves(_ id: String, port: UInt16) -> Bool {
        guard let (record, _) = try? known(id) else { return false }
        guard record.shared != nil else { return true }
        guard let users = record.users, let sockets = try? ListeningSockets() else { return false }
        for address in ["127.0.0.1", "::1"] {
            guard let found = try? sockets.users(ofPort: port, reachedAt: IPAddress(address)) else { return false }
            if !found.isEmpty { return found.allSatisfy(users.all.contains) }
        }
        return false
    }

    /// Whether a connection of this machine to itself was accepted by the sandbox, or by nobody yet. True of any where it has a network
    /// of its own.
    func serves(_ id: String, connection: CInt) -> Bool {
        guard let (record, _) = try? known(id) else { return false }
        guard record.shared != nil else { return true }
        guard let users = record.users, let accepted = try? ListeningSockets().accepted(connection) else {
            return false
        }
        return accepted.inode == 0 || users.all.contains(accepted.user)
    }
}
