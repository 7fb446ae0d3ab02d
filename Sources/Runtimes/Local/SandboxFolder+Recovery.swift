import CLinux
import Netfilter

#if canImport(Glibc)
    import Glibc
#endif

extension SandboxFolder {
    /// Whether something was made of it, though nobody may be able to read what.
    var hasRecord: Bool { access(file(SandboxRecord.fileName), F_OK) == 0 }

    /// Sandboxes of a later server, or whose records were damaged.
    static func withUnreadableRecords(in directory: String) -> [SandboxFolder] {
        ControlGroup.entries(of: directory).filter(LocalEngine.isIdentifier)
            .map { SandboxFolder(path: directory + "/" + $0) }
            .filter { $0.hasRecord && SandboxRecord.read(from: $0.path) == nil }
    }

    /// Restores mounts of an earlier server for this one. They are gone after a restart of the machine, and if systemd
    /// starts each service in a new mount namespace (`PrivateTmp=`, `ProtectSystem=`).
    ///
    /// - Parameter process: the sandbox's first one, if it runs.
    func findAgain(_ record: SandboxRecord, _ process: SandboxProcess?) throws(RuntimeError) {
        guard let process else { return try disk.remount() }
        let namespace = record.link.namespace
        // One that shares the machine's network has none: this machine's must never be taken for it.
        if record.shared == nil, !namespace.exists {
            do throws(NetfilterError) { try namespace.attach(process: process.pid) } catch {
                throw .system(action: "finding the network", reason: "\(error)")
            }
        }
        // The sandbox writes to it, so it must not be mounted through a second device: two mounted file systems in one
        // file would destroy each other.
        guard access(disk.image, F_OK) != 0 || linux_is_mount_point(disk.path) != 0 else {
            throw .system(
                action: "looking at the disk",
                reason: "it is mounted where this server does not see it: output is neither shown nor cut")
        }
    }
}
