import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Removes a folder with contents that may be hostile. It works through descriptors, so that no depth or name is too
/// long, and never follows links.
///
/// A few descriptors are enough for any depth: folders deeper than `levels` are moved to the top and removed from
/// there.
package struct TreeRemoval {
    package enum Means: Hashable, Sendable {
        /// For what a sandbox has left: other file systems are unmounted and not entered, and flags that protect entries are cleared.
        case force
        /// For what a user asks to remove: what is mounted is emptied and stays, and so does what is protected.
        case rights
    }

    /// How many nested folders are open at a time; more only if nothing can be moved, as on a full file system.
    private static let levels = 24
    private static let maxLevels = 200

    private let means: Means
    /// The folder to remove, while it is open.
    private var top: CInt = -1
    /// Moved folders get names that nobody can guess.
    private let prefix = "moved-" + String(UInt64.random(in: .min ... .max), radix: 36) + "-"
    private var moved = 0
    private var progress = 0
    private var failure: CInt = 0

    private init(_ means: Means) { self.means = means }

    /// Removes what is at `path`, if anything, by force.
    ///
    /// - Throws: `RemovalError` when a pass makes no more progress. A later call continues with what is left.
    package static func remove(_ path: String) throws(RemovalError) {
        _ = try inFolder(of: path) { (folder, name) throws(RemovalError) in
            try remove(name, in: folder, named: path, by: .force)
        }
    }

    /// Removes what has a name in an open folder, if anything.
    ///
    /// - Parameter path: for the error.
    /// - Throws: `RemovalError` when a pass makes no more progress. A later call continues with what is left.
    package static func remove(
        _ name: UnsafePointer<CChar>, in folder: CInt, named path: String, by means: Means
    ) throws(RemovalError) {
        var removal = TreeRemoval(means)
        repeat {
            (removal.progress, removal.failure) = (0, 0)
            if removal.remove(name, in: folder, level: 0, isFolder: isFolder(name, in: folder)) { return }
        } while removal.progress > 0
        throw RemovalError(path: path, code: removal.failure)
    }

    /// Moves what is at `path` into `folder`, on the same file system, in one step, so that its name is free.
    ///
    /// - Returns: its new path; nil if there was nothing.
    package static func setAside(_ path: String, into folder: String) throws(RemovalError) -> String? {
        mkdir(folder, 0o700)
        return try inFolder(of: path) { (parent, name) throws(RemovalError) -> String? in
            let aside = folder + "/" + String(cString: name) + "-" + String(UInt64.random(in: .min ... .max), radix: 36)
            var failure: CInt
            repeat {
                failure = code(renameat(parent, name, AT_FDCWD, aside))
                if failure == 0 { return aside }
                if failure == ENOENT, faccessat(parent, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0 { return nil }
            } while clearTheWay(failure, name, in: parent)
            throw RemovalError(path: path, code: failure)
        } ?? nil
    }

    /// What something was called before it was set aside under this name.
    package static func nameBefore(aside name: String) -> String {
        name.lastIndex(of: "-").map { String(name[..<$0]) } ?? name
    }

    /// - Returns: whether it is gone.
    private mutating func remove(
        _ name: UnsafePointer<CChar>, in folder: CInt, level: Int, isFolder: Bool
    ) -> Bool {
        while true {
            let code = isFolder ? removeFolder(name, in: folder, level: level) : Self.code(unlinkat(folder, name, 0))
            if code == 0 { progress += 1 }
            if code == 0 || code == ENOENT { return true }
            guard means == .force, Self.clearTheWay(code, name, in: folder) else {
                if failure == 0 { failure = code }
                return false
            }
            progress += 1
        }
    }

    /// - Returns: an errno, or 0.
    private mutating func removeFolder(_ name: UnsafePointer<CChar>, in folder: CInt, level: Int) -> CInt {
        if level >= Self.levels {
            moved += 1
            let code = -linux_rename_at_new(folder, name, top, prefix + String(moved))
            // A full file system refuses, and one whose folders belong to several projects.
            guard level < Self.maxLevels, [ENOSPC, EDQUOT, EXDEV].contains(code) else { return code }
        }
        let opened = open(name, in: folder)
        guard opened >= 0 else { return -opened }
        guard let stream = fdopendir(opened) else {
            defer { close(opened) }
            return errno
        }
        if level == 0 { top = opened }
        while let entry = readdir(stream) {
            let name = (UnsafeRawPointer(entry) + Self.offsetOfName).assumingMemoryBound(to: CChar.self)
            guard strcmp(name, ".") != 0, strcmp(name, "..") != 0 else { continue }
            let type = Int(entry.pointee.d_type)
            let isFolder = type == Int(DT_UNKNOWN) ? Self.isFolder(name, in: opened) : type == Int(DT_DIR)
            _ = remove(name, in: opened, level: level + 1, isFolder: isFolder)
        }
        closedir(stream)
        return Self.code(unlinkat(folder, name, AT_REMOVEDIR))
    }

    /// - Returns: a descriptor, or an errno below 0.
    private func open(_ name: UnsafePointer<CChar>, in folder: CInt) -> CInt {
        guard means == .rights else { return linux_open_within(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) }
        let opened = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        return opened < 0 ? -errno : opened
    }

    /// Unmounts an entry, or clears flags that forbid its removal.
    ///
    /// - Returns: whether something was changed, so that another attempt makes sense.
    private static func clearTheWay(_ code: CInt, _ name: UnsafePointer<CChar>, in folder: CInt) -> Bool {
        switch code {
        case EBUSY, EXDEV: return linux_unmount_at(folder, name) > 0
        case EPERM, EACCES:
            var changed = linux_lift_protection(folder) == 0
            // Do not open devices and pipes: opening has effects, and they have no flags.
            var status = stat()
            guard fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0,
                [S_IFREG, S_IFDIR].contains(status.st_mode & S_IFMT)
            else { return changed }
            let entry = openat(folder, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)
            guard entry >= 0 else { return changed }
            defer { close(entry) }
            if linux_lift_protection(entry) == 0 { changed = true }
            return changed
        default: return false
        }
    }

    private static let offsetOfName = MemoryLayout<dirent>.offset(of: \dirent.d_name)!

    private static func isFolder(_ name: UnsafePointer<CChar>, in folder: CInt) -> Bool {
        var status = stat()
        return fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func code(_ result: CInt) -> CInt { result == 0 ? 0 : errno }

    /// Runs `body` with a path's folder and the name in it. Does nothing if there is no such folder.
    private static func inFolder<Result>(
        of path: String, _ body: (_ folder: CInt, _ name: UnsafePointer<CChar>) throws(RemovalError) -> Result
    ) throws(RemovalError) -> Result? {
        let slash = path.lastIndex(of: "/")
        let folder = Glibc.open(slash.map { String(path[...$0]) } ?? ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else {
            if errno == ENOENT { return nil }
            throw RemovalError(path: path, code: errno)
        }
        defer { close(folder) }
        let name = strdup(slash.map { String(path[path.index(after: $0)...]) } ?? path)!
        defer { free(name) }
        return try body(folder, name)
    }
}

/// Why a removal failed. The path is the tree's own, since names in it are foreign.
package struct RemovalError: Error, Hashable, Sendable, CustomStringConvertible {
    package let path: String
    package let code: CInt

    package init(path: String, code: CInt) { (self.path, self.code) = (path, code) }

    package var description: String { "removing \(path): \(String(cString: strerror(code)))" }
}
