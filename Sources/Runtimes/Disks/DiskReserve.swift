import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Checks whether the server's disk has room for another sandbox. A nearly full disk is kept for existing ones.
struct DiskReserve: Hashable, Sendable {
    let folder: String
    /// Bytes to keep free; at most a tenth of a small file system.
    let bytes: Int64

    /// Enough for the records, policies and folders of a few sandboxes.
    private static let inodes: UInt64 = 1000

    /// - Throws: `RuntimeError.diskNearlyFull`
    func check() throws(RuntimeError) {
        var space = linux_space_t()
        // Allow creation if the file system does not report its space.
        guard linux_space(folder, &space) == 0, space.total > 0 else { return }
        let needed = min(UInt64(clamping: bytes), space.total / 10)
        guard space.available >= needed else {
            throw .diskNearlyFull(folder: folder, free: "\(space.available >> 20) MiB", needed: "\(needed >> 20) MiB")
        }
        let files = min(Self.inodes, space.inodes / 10)
        guard space.available_inodes >= files else {
            throw .diskNearlyFull(folder: folder, free: "\(space.available_inodes) inodes", needed: "\(files) inodes")
        }
    }
}
