import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Whether the server's own disk has room for another sandbox. What is nearly full is left to those that are there.
struct DiskReserve: Hashable, Sendable {
    let folder: String
    /// Bytes that stay free; of a small file system no more than a tenth.
    let bytes: Int64

    /// What the records, policies and folders of a few sandboxes take.
    private static let inodes: UInt64 = 1000

    /// - Throws: `RuntimeError.diskNearlyFull`
    func check() throws(RuntimeError) {
        var space = linux_space_t()
        // A file system that does not tell is not held against anybody.
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
