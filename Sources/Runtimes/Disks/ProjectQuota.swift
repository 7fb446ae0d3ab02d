import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Limits folders with project quotas, on ext4 and XFS mounted with `prjquota`.
///
/// Only for sandboxes with their own user namespace: others could leave their project, since processes in the initial
/// user namespace may change a file's project.
struct ProjectQuota: Sendable {
    /// Any folder on the file system.
    let folder: String

    /// One inode is allowed for so many bytes, as with mke2fs.
    private static let bytesPerInode: Int64 = 16384
    /// Far from numbers that are usual in /etc/projid.
    private static let numbers: ClosedRange<UInt32> = 1 << 30...(1 << 31) - 1

    /// Creates a folder with a limit and writes more than that; nil if the file system does not refuse it.
    static func probe(_ folder: String) -> ProjectQuota? {
        let quota = ProjectQuota(folder: folder)
        let trial = folder + "/.probe-" + String(UInt64.random(in: .min ... .max), radix: 36)
        guard mkdir(trial, 0o700) == 0 else { return nil }
        defer { try? TreeRemoval.remove(trial) }
        guard (try? quota.limit(trial, bytes: 1 << 20)) != nil else { return nil }
        defer { lift(trial) }
        let file = open(trial + "/file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { return nil }
        defer { close(file) }
        let chunk = [UInt8](repeating: 1, count: 1 << 20)
        let isRefused = withoutRaisingLimits {
            for _ in 0..<3 where write(file, chunk, chunk.count) < 0 { return [EDQUOT, ENOSPC].contains(errno) }
            return false
        }
        return isRefused == true ? quota : nil
    }

    /// Runs `body` in this thread without CAP_SYS_RESOURCE, which the server has: ext4 applies no quota to threads with it.
    /// - Returns: nil if the capability cannot be put out of use.
    static func withoutRaisingLimits<Result>(_ body: () -> Result) -> Result? {
        guard linux_use_capability(LINUX_CAP_SYS_RESOURCE, 0) == 0 else { return nil }
        defer { _ = linux_use_capability(LINUX_CAP_SYS_RESOURCE, 1) }
        return body()
    }

    /// Gives a folder its own project, with a limit.
    func limit(_ path: String, bytes: Int64) throws(RuntimeError) {
        var project: UInt32
        var used: CInt
        var attempts = 0
        repeat {
            project = UInt32.random(in: Self.numbers)
            used = linux_project_is_used(folder, project)
            attempts += 1
        } while used == 1 && attempts < 100
        try Self.check(used, "asking for the project quotas of \(folder)")
        try Self.check(linux_set_project(path, project), "giving \(path) a project")
        let inodes = UInt64(max(bytes / Self.bytesPerInode, 1024))
        try Self.check(linux_limit_project(folder, project, UInt64(bytes), inodes), "limiting \(path)")
    }

    /// Removes the limit that `limit` has set. The project number is free again when the last of its files is gone.
    ///
    /// Does nothing if the folder has no sandbox's project, or its file system no longer has quotas.
    static func lift(_ path: String) {
        let project = linux_project(path)
        guard project >= 0, let number = UInt32(exactly: project), numbers.contains(number) else { return }
        _ = linux_limit_project(path, number, 0, 0)
    }

    private static func check(_ code: CInt, _ action: String) throws(RuntimeError) {
        guard code == 0 else {
            throw .system(action: action, reason: code > 0 ? "no number is free" : String(cString: strerror(-code)))
        }
    }
}
