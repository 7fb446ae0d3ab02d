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
                VolumeFolder(path: directory + "/" + name).unmount()
                if let aside = try? TreeRemoval.setAside(directory + "/" + name, into: removed) { take(aside) }
            }
            for name in File.names(in: removed) ?? [] { take(removed + "/" + name) }
        }
    }

    /// Makes a volume.
    /// - Parameter source: a folder with the files that it is to begin with; nil for none.
    /// - Returns: false if there is one of this name, which is left as it is.
    package func create(
        _ record: VolumeRecord, _ limits: DiskLimits, from source: String? = nil, reserve: Int64
    ) throws(RuntimeError) -> Bool {
        mkdir(directory, 0o700)
        return try alone { () throws(RuntimeError) in
            guard access(folder(of: record.name).path, F_OK) != 0 else { return false }
            let made = VolumeFolder(
                path: directory + "/" + Self.unfinished + String(UInt64.random(in: .min ... .max), radix: 36))
            do throws(RuntimeError) {
                let reserve = DiskReserve(folder: directory, bytes: reserve)
                try reserve.check()
                try made.create(record, limits, from: source, reserve: reserve)
                guard rename(made.path, folder(of: record.name).path) == 0 else { throw made.failure("naming") }
            } catch {
                made.unmount()
                try? TreeRemoval.remove(made.path)
                throw error
            }
            return true
        }
    }

    /// Opens a volume's files (O_PATH), and mounts its disk if it is not.
    /// - Returns: nil if there is no such volume.
    func open(_ name: String) throws(RuntimeError) -> FileDescriptor? {
        guard access(folder(of: name).path, F_OK) == 0 else { return nil }
        return try alone { () throws(RuntimeError) in
            let folder = folder(of: name)
            guard self[name] != nil else {
                guard access(folder.path, F_OK) == 0 else { return nil }
                throw .volume(VolumeProblem(.claimFailed, "the record of volume \(name) cannot be read"))
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
            let folder = folder(of: name)
            ProjectQuota.lift(folder.disk.path)
            folder.unmount()
            do throws(RemovalError) {
                guard let aside = try TreeRemoval.setAside(folder.path, into: removed) else { return false }
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
