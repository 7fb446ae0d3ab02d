import Addresses
import NetworkPolicy
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Locks on what servers in one network namespace must not share, whatever their folders: names of links and tables,
/// and addresses.
struct MachineLocks {
    /// For root only, since others could keep servers from starting.
    var folder = "/run/sallyport.locks"

    private static let milliseconds = 5000

    /// - Throws: `ConfigurationError` that names the setting to change.
    func take(_ local: Settings.Local) throws -> [InstanceLock] {
        mkdir(folder, 0o700)
        var status = stat()
        guard lstat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid(),
            status.st_mode & 0o022 == 0
        else { throw ConfigurationError("\(folder) is not a folder that belongs to this user alone; remove it") }
        // Checking and locking is serialised, so that of two servers that start together exactly one succeeds.
        let gate = try gate()
        defer { withExtendedLifetime(gate) {} }
        let prefix = networkNamespace + "-"
        let asked = [(local.addressPool, "address_pool"), (local.addressPoolV6, "address_pool_v6")]
        let pools = try asked.map { pool, key in
            for (other, taken) in takenPools(prefix) where other.overlaps(pool) {
                throw ConfigurationError(
                    "\(taken) uses addresses of \(other): give this one its own local.\(key) instead of \(pool)",
                    holder: taken.process)
            }
            return try InstanceLock(path: folder + "/" + prefix + Self.name(pool))
        }
        // Link names are the tag followed by a number, so if one tag begins with the other, names may collide.
        for (other, taken) in takenTags(prefix)
        where other != local.tag && (other.hasPrefix(local.tag) || local.tag.hasPrefix(other)) {
            throw ConfigurationError(
                "\(taken) has the tag \"\(other)\", and neither may begin with the other (this one is \"\(local.tag)\"): give this one "
                    + "its own local.tag",
                holder: taken.process)
        }
        do {
            return pools + [try InstanceLock(path: "\(folder)/\(prefix)tag-\(local.tag)")]
        } catch let taken as InstanceLock.Taken {
            throw ConfigurationError(
                "\(taken) has the tag \"\(local.tag)\": give this one its own local.tag",
                holder: taken.process)
        }
    }

    /// Removes the folder if no server has a lock in it. The next one makes it anew.
    func removeIfUnused() {
        guard let gate = try? InstanceLock(path: gatePath), gate.isAt(gatePath) else { return }
        defer { withExtendedLifetime(gate) {} }
        var isUsed = false
        for name in File.names(in: folder) ?? [] where folder + "/" + name != gatePath {
            guard let stale = try? InstanceLock(path: folder + "/" + name) else {
                isUsed = true
                continue
            }
            unlink(folder + "/" + name)
            withExtendedLifetime(stale) {}
        }
        guard !isUsed else { return }
        unlink(gatePath)
        rmdir(folder)
    }

    private var gatePath: String { folder + "/gate" }

    private func gate() throws -> InstanceLock {
        for _ in 0..<Self.milliseconds / 10 {
            if let lock = try? InstanceLock(path: gatePath), lock.isAt(gatePath) { return lock }
            usleep(10_000)
            // An uninstallation may have removed it.
            mkdir(folder, 0o700)
        }
        do { return try InstanceLock(path: gatePath) } catch let taken as InstanceLock.Taken {
            throw ConfigurationError("\(taken) is stuck while starting: stop it")
        }
    }

    /// Links, tables and routes belong to a network namespace; servers in different ones do not conflict.
    private var networkNamespace: String {
        var status = stat()
        return stat("/proc/self/ns/net", &status) == 0 ? String(status.st_ino) : "0"
    }

    private func takenPools(_ prefix: String) -> [(CIDRBlock, InstanceLock.Taken)] {
        taken(prefix, "pool-").compactMap { name, taken in Self.block(name).map { ($0, taken) } }
    }

    private func takenTags(_ prefix: String) -> [(String, InstanceLock.Taken)] {
        taken(prefix, "tag-").map { name, taken in (String(name.dropFirst(4)), taken) }
    }

    /// The locks of a kind held by running programs in this network namespace. Stale ones are removed.
    private func taken(_ prefix: String, _ kind: String) -> [(name: String, InstanceLock.Taken)] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var found: [(name: String, InstanceLock.Taken)] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard name.contains("-" + kind) else { continue }
            do {
                let stale = try InstanceLock(path: folder + "/" + name)
                unlink(folder + "/" + name)
                withExtendedLifetime(stale) {}
            } catch let taken as InstanceLock.Taken {
                if name.hasPrefix(prefix) { found.append((String(name.dropFirst(prefix.count)), taken)) }
            } catch { continue }
        }
        return found
    }

    /// `pool-10.200.0.0_16`
    static func name(_ block: CIDRBlock) -> String {
        "pool-" + String("\(block.base)/\(block.prefixLength)".map { $0 == "/" ? "_" : $0 })
    }

    static func block(_ name: String) -> CIDRBlock? {
        guard name.hasPrefix("pool-") else { return nil }
        return CIDRBlock(String(name.dropFirst(5).map { $0 == "_" ? "/" : $0 }))
    }
}

extension CIDRBlock {
    /// Whether the two blocks share an address.
    func overlaps(_ other: CIDRBlock) -> Bool { contains(other.base) || other.contains(base) }
}
