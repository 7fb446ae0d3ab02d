#if canImport(Glibc)
    import Glibc
#endif

/// File attributes that change with a file's contents or permissions, to notice a change without reading the file.
package struct ChangeStamp: Hashable, Sendable {
    private let inode: UInt64
    private let size: Int64
    private let modified: [Int]
    private let changed: [Int]

    /// nil if there is no such file.
    package init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    /// nil if the descriptor is not open.
    package init?(descriptor: CInt) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        self.init(status)
    }

    /// Whether the file was changed less than so many milliseconds ago. A change in the future, by a clock that was set back, is
    /// none.
    package func isYounger(than milliseconds: Int) -> Bool {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let seconds = now.tv_sec &- changed[0]
        guard 0...3600 ~= seconds else { return false }
        return 0..<milliseconds ~= seconds * 1000 + (now.tv_nsec &- changed[1]) / 1_000_000
    }

    private init(_ status: stat) {
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        modified = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
        changed = [status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
    }
}
