import CLinux
import Netfilter

#if canImport(Glibc)
    import Glibc
#endif

extension SandboxFolder {
    /// Lets this server see again what an earlier one has mounted: mounts are gone after a restart of the machine, and where
    /// systemd starts a service in a mount namespace of its own each time (`PrivateTmp=`, `ProtectSystem=`).
    ///
    /// - Parameter process: the sandbox's first one, if it runs.
    func findAgain(_ record: SandboxRecord, _ process: SandboxProcess?) throws(RuntimeError) {
        guard let process else { return try disk.remount() }
        let namespace = record.link.namespace
        if !namespace.exists {
            do throws(NetfilterError) { try namespace.attach(process: process.pid) } catch {
                throw .system(action: "finding the network", reason: "\(error)")
            }
        }
        // The sandbox writes to it: a second device with the same file would show the kernel two file systems.
        guard access(disk.image, F_OK) != 0 || linux_is_mount_point(disk.path) != 0 else {
            throw .system(
                action: "looking at the disk",
                reason: "it is mounted where this server does not see it: output is neither shown nor cut")
        }
    }
}
