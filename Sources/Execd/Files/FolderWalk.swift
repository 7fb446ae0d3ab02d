import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Lists folders. Symbolic links are named, never followed.
enum FolderWalk {
    /// The most entries in one answer.
    static let maxEntries = 50_000
    /// The most levels of folders.
    static let maxDepth = 512

    /// proc and sysfs (statfs(2)), which are only entered if the root is in them.
    private static let kernelFileSystems: Set<Int64> = [0x9fa0, 0x6265_6572]

    static func isOfKernel(_ path: String) -> Bool { kernelFileSystems.contains(linux_filesystem_type(path)) }

    struct Found: Sendable {
        var entries: [FileInfo] = []
        /// There were more than `maxEntries`.
        var isCut = false
    }

    /// The contents of a folder, `depth` levels down, sorted by name, each folder followed by its own contents.
    static func list(_ root: String, depth: Int, names: Accounts) throws(FileError) -> Found {
        switch FileInfo.Kind(try FileStatus.of(root)) {
        case .directory: break
        case .symlink: throw .invalidFile("\(root) is a symbolic link: name the folder itself")
        case .file, .other: throw .invalidFile("\(root) is not a folder")
        }
        var found = Found()
        try walk(root, depth: depth) { path, status in
            keep(path, status, names, &found)
        }
        return found
    }

    /// The files, not folders, below `root` whose names match.
    static func search(_ root: String, _ pattern: GlobPattern, names: Accounts) throws(FileError) -> Found {
        guard FileInfo.Kind(try FileStatus.of(root, follows: true)) == .directory else {
            throw .invalidFile("\(root) is not a folder")
        }
        var found = Found()
        try walk(root, depth: maxDepth) { path, status in
            guard FileInfo.Kind(status) != .directory, pattern.matches(FilePath.name(of: path)) else { return true }
            return keep(path, status, names, &found)
        }
        return found
    }

    private static func keep(_ path: String, _ status: stat, _ names: Accounts, _ found: inout Found) -> Bool {
        found.isCut = found.entries.count == maxEntries
        if !found.isCut { found.entries.append(FileInfo(path, status, names: names)) }
        return !found.isCut
    }

    /// Visits in order until `visit` returns false. Unreadable folders below the root are skipped.
    private static func walk(
        _ root: String, depth: Int, visit: (String, stat) -> Bool
    ) throws(FileError) {
        guard depth > 0 else { return }
        let device = try FileStatus.of(root, follows: true).st_dev
        var pending = try entries(of: root).reversed().map { ($0, 1) }
        while let (path, level) = pending.popLast() {
            var status = stat()
            guard lstat(path, &status) == 0 else { continue }
            guard visit(path, status) else { return }
            guard status.st_mode & S_IFMT == S_IFDIR, level < min(depth, maxDepth) else { continue }
            // A search of everything would never finish in /proc.
            guard status.st_dev == device || !isOfKernel(path) else { continue }
            pending += ((try? entries(of: path)) ?? []).reversed().map { ($0, level + 1) }
        }
    }

    /// The paths in a folder, sorted by the bytes of their names.
    private static func entries(of folder: String) throws(FileError) -> [String] {
        do throws(SystemCallError) {
            return try FolderStream(folder).sorted().map { FilePath.join(folder, $0.description) }
        } catch { throw .call("read", folder, error.code) }
    }
}
