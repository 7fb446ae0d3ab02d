import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The volumes that a server keeps by name: a folder for each, whose name is free again the moment it is removed. A lock
/// on the folder of all lets a server and `sallyport volume` change them at the same time.
package struct NamedVolumes: Sendable {
    /// Made with the first volume.
    let directory: String
    /// The folder of the sandboxes, whose records say which volumes are in use.
    let sandboxes: String

    package init(directory: String, sandboxes: String) {
        self.directory = directory
        self.sandboxes = sandboxes
    }

    private var removed: String { directory + "/.removed" }
    private static let unfinished = ".new-"

    func folder(of name: String) -> VolumeFolder { VolumeFolder(path: directory + "/" + name) }

    /// By name.
    package var all: [VolumeRecord] {
        (File.names(in: directory) ?? []).compactMap { self[$0] }.sorted { $0.name < $1.name }
    }

    package subscript(name: String) -> VolumeRecord? {
        guard SandboxVolume.isName(name, upTo: 253) else { return nil }
        return VolumeRecord.read(from: directory + "/" + name)
    }

    /// What was begun and not finished by an earlier process; `take` removes it.
    func recover(_ take: (String) -> Void) {
        guard access(directory, F_OK) == 0 else { return }
        try? alone { () throws(RuntimeError) in
            for name in File.names(in: directory) ?? [] where name.hasPrefix(Self.unfinished) {
                let folder = VolumeFolder(path: directory + "/" + name)
                // Another process may be making it at this moment.
                guard let lock = try? folder.lock(within: 0).release() else { continue }
                defer { close(lock) }
                _ = try? TreeRemoval.setAside(folder.path, into: removed)
            }
            for name in File.names(in: removed) ?? [] {
                let folder = VolumeFolder(path: removed + "/" + name)
                // The limit of a project outlives its files.
                ProjectQuota.lift(folder.disk.path)
                folder.unmount()
                take(folder.path)
            }
            // Of sandboxes whose removal was cut short. A record that cannot be read may name any.
            guard SandboxFolder.withUnreadableRecords(in: sandboxes).isEmpty else { return }
            let used = LocalEngine.records(in: sandboxes).flatMap { $0.record.spec.volumes ?? [] }
            let names = Set(used.compactMap(\.claim?.claim))
            for volume in all where !names.contains(volume.name) { folder(of: volume.name).unmount() }
        }
    }

    /// Makes a volume.
    /// - Parameter source: a folder with the files that it is to begin with; nil for none.
    /// - Returns: false if there is one of this name, which is left as it is.
    package func create(
        _ record: VolumeRecord, _ limits: DiskLimits, from source: String? = nil, reserve: Int64
    ) throws(RuntimeError) -> Bool {
        mkdir(directory, 0o700)
        let made = VolumeFolder(
            path: directory + "/" + Self.unfinished + String(UInt64.random(in: .min ... .max), radix: 36))
        // Made beside the others, which nobody waits for meanwhile. The lock says that it is not left over.
        let lock = try alone { () throws(RuntimeError) -> CInt in
            guard access(folder(of: record.name).path, F_OK) != 0 else { return -1 }
            guard mkdir(made.path, 0o700) == 0 else { throw made.failure("making") }
            return try made.lock(within: 0).release()
        }
        guard lock >= 0 else { return false }
        defer { close(lock) }
        func discard() {
            ProjectQuota.lift(made.disk.path)
            made.unmount()
            try? TreeRemoval.remove(made.path)
        }
        do throws(RuntimeError) {
            let reserve = DiskReserve(folder: directory, bytes: reserve)
            try reserve.check()
            try made.create(record, limits, from: source, reserve: reserve)
            let isNamed = try alone { () throws(RuntimeError) in
                let code = linux_rename_at_new(AT_FDCWD, made.path, AT_FDCWD, folder(of: record.name).path)
                guard code == 0 || code == -EEXIST else {
                    throw .system(action: "naming \(made.path)", reason: String(cString: strerror(-code)))
                }
                return code == 0
            }
            if !isNamed { discard() }
            return isNamed
        } catch {
            discard()
            throw error
        }
    }

    /// Opens a volume's files (O_PATH) for a sandbox, and mounts its disk if it is not. One that was to go with another
    /// sandbox stays from now on.
    /// - Returns: nil if there is no such volume, or if it is another key's.
    func open(_ name: String, for sandbox: EngineSpec) throws(RuntimeError) -> FileDescriptor? {
        guard access(folder(of: name).path, F_OK) == 0 else { return nil }
        return try alone { () throws(RuntimeError) in
            let folder = folder(of: name)
            guard var record = self[name] else {
                guard access(folder.path, F_OK) == 0 else { return nil }
                throw .volume(VolumeProblem(.claimFailed, "the record of volume \(name) cannot be read"))
            }
            guard record.isFor(sandbox.caller) else { return nil }
            if record.goesWith != nil, record.goesWith != sandbox.id {
                record.goesWith = nil
                do throws(SystemCallError) { try record.write(to: folder.path) } catch {
                    throw .system(action: "writing the record in \(folder.path)", reason: "\(error)")
                }
            }
            try folder.disk.mount()
            return try folder.openFiles()
        }
    }

    /// Removes a volume that no sandbox has. `take` gets what is then left of it, which may take long to remove.
    /// - Parameter sandbox: the name of a sandbox that has ended, which does not count.
    /// - Returns: false if there is no such volume.
    package func remove(
        _ name: String, besides sandbox: String? = nil, take: (String) -> Void
    ) throws(RuntimeError) -> Bool {
        guard SandboxVolume.isName(name, upTo: 253), access(folder(of: name).path, F_OK) == 0 else { return false }
        return try alone { () throws(RuntimeError) in
            let users = users(of: name, besides: sandbox)
            guard users.isEmpty else { throw .volumeInUse(name, by: users[0]) }
            do throws(RemovalError) {
                guard let aside = try TreeRemoval.setAside(folder(of: name).path, into: removed) else { return false }
                // Not before: a volume that stays keeps its limit.
                let folder = VolumeFolder(path: aside)
                ProjectQuota.lift(folder.disk.path)
                folder.unmount()
                take(aside)
            } catch { throw .system(action: "removing volume \(name)", reason: "\(error)") }
            return true
        }
    }

    /// Removes what `remove` has left.
    package static func discard(_ path: String) throws {
        try TreeRemoval.remove(path)
    }

    /// Unmounts the disk of a volume that no sandbox has any more.
    package func release(_ name: String) throws(RuntimeError) {
        guard access(folder(of: name).disk.image, F_OK) == 0 else { return }
        try alone { () throws(RuntimeError) in if users(of: name).isEmpty { folder(of: name).unmount() } }
    }

    /// The ids of sandboxes whose records name a volume. One that cannot be read may have any.
    package func users(of name: String, besides sandbox: String? = nil) -> [String] {
        let unreadable = SandboxFolder.withUnreadableRecords(in: sandboxes).map(\.name)
        let known = LocalEngine.records(in: sandboxes).filter { record, folder in
            folder.name != sandbox && (record.spec.volumes ?? []).contains { $0.claim?.claim == name }
        }
        return (known.map(\.record.spec.id) + unreadable).sorted()
    }

    private func alone<Result: ~Copyable>(_ body: () throws(RuntimeError) -> Result) throws(RuntimeError) -> Result {
        let lock = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        defer { if lock >= 0 { close(lock) } }
        var code: CInt
        repeat { code = flock(lock, LOCK_EX) } while code != 0 && errno == EINTR
        guard lock >= 0, code == 0 else {
            throw .system(action: "opening \(directory)", reason: String(cString: strerror(errno)))
        }
        return try body()
    }
}

extension SandboxVolume {
    /// nil unless it is a named volume.
    var claim: NamedVolumeClaim? { if case .named(let claim) = source { claim } else { nil } }
}
