import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A file as described by the API (docs/wire.md#files). Symbolic links are described themselves, not followed.
struct FileInfo: Encodable, Hashable, Sendable {
    enum Kind: String, Encodable, Sendable {
        case file, directory, symlink, other
    }

    var path: String
    var type: Kind
    /// Bytes.
    var size: Int64
    var modified_at: String
    /// When the inode was last changed, if the file system does not record creation times.
    var created_at: String
    var owner: String
    var group: String
    var mode: FileMode

    init(_ path: String, _ status: stat, names: Accounts) {
        self.path = path
        type = Kind(status)
        size = Int64(status.st_size)
        modified_at = Self.text(Int64(status.st_mtim.tv_sec), UInt32(status.st_mtim.tv_nsec))
        var seconds = Int64(status.st_ctim.tv_sec), nanoseconds = UInt32(status.st_ctim.tv_nsec)
        _ = linux_birth_time(path, &seconds, &nanoseconds)
        created_at = Self.text(seconds, nanoseconds)
        owner = names.users[status.st_uid]
        group = names.groups[status.st_gid]
        mode = FileMode(bits: status.st_mode)
    }

    static func of(_ path: String, names: Accounts) throws(FileError) -> FileInfo {
        FileInfo(path, try FileStatus.of(path), names: names)
    }

    static func text(_ seconds: Int64, _ nanoseconds: UInt32) -> String {
        InternetTime.text(seconds, nanoseconds: Int64(nanoseconds))
    }
}

extension FileInfo.Kind {
    init(_ status: stat) {
        self =
            switch status.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .directory
            case S_IFLNK: .symlink
            default: .other
            }
    }
}

/// lstat(2) and stat(2) with errors.
enum FileStatus {
    /// - Parameter follows: whether to follow a symbolic link at the end of the path.
    static func of(_ path: String, follows: Bool = false) throws(FileError) -> stat {
        guard let status = try ifAny(path, follows: follows) else { throw .notFound(path) }
        return status
    }

    /// nil if nothing is there.
    static func ifAny(_ path: String, follows: Bool = false) throws(FileError) -> stat? {
        var status = stat()
        guard (follows ? stat(path, &status) : lstat(path, &status)) != 0 else { return status }
        guard errno == ENOENT || errno == ENOTDIR else { throw .call("look at", path) }
        return nil
    }

    static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}
