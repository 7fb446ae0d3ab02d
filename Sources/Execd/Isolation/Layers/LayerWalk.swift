import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// One thing that a session has changed in a folder.
struct LayerChange: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        /// It is gone.
        case removed
        /// `hidesLower`: what was there below is gone.
        case folder(hidesLower: Bool)
        case file, symlink, fifo
    }

    var kind: Kind
    var name: FileName
    var status: stat

    static func == (left: LayerChange, right: LayerChange) -> Bool {
        (left.kind, left.name) == (right.kind, right.name)
    }
    func hash(into hasher: inout Hasher) { hasher.combine(name) }

    /// - Parameter folder: of the upper side.
    /// - Returns: nil for what an archive cannot have, and what has gone meanwhile.
    init?(_ name: FileName, in folder: CInt) {
        var status = stat()
        guard fstatat(folder, name.cString, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        (self.name, self.status) = (name, status)
        switch status.st_mode & S_IFMT {
        case S_IFCHR where status.st_rdev == 0: kind = .removed
        case S_IFREG: kind = .file
        case S_IFLNK: kind = .symlink
        case S_IFIFO: kind = .fifo
        case S_IFDIR:
            let descriptor = Self.folder(name, in: folder)
            guard descriptor >= 0 else { return nil }
            defer { close(descriptor) }
            kind = .folder(hidesLower: linux_is_opaque(descriptor) == 1)
        default: return nil
        }
    }

    static func folder(_ name: FileName, in parent: CInt) -> CInt {
        openat(parent, name.cString, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    }

    static func file(_ name: FileName, in folder: CInt) -> CInt {
        openat(folder, name.cString, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    }

    /// What a symbolic link names, with a 0 at its end; it need not be UTF-8 either.
    static func link(_ name: FileName, in folder: CInt) -> [CChar]? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let length = readlinkat(folder, name.cString, &buffer, buffer.count - 1)
        return length < 0 ? nil : Array(buffer[...length])
    }

    /// The names in an open folder.
    static func names(in folder: CInt, _ path: String) throws(FileError) -> FolderStream {
        do throws(SystemCallError) { return try FolderStream(of: folder) } catch {
            throw .call("read", path, error.code)
        }
    }
}
