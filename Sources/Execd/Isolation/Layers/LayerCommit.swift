import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Carries what a session has changed in a folder over to the folder below it. Both sides are gone through by descriptors: a link that
/// somebody puts in the place of a folder leads nowhere, it is replaced.
struct LayerCommit: Hashable, Sendable {
    struct Count: Encodable, Hashable, Sendable {
        var files = 0
        var folders = 0
        var links = 0
        var deleted = 0
    }

    private static let maxDepth = 512
    private(set) var count = Count()

    /// - Parameters:
    ///   - upper: the folder of changes.
    ///   - path: the folder that they go to.
    mutating func carry(_ upper: String, to path: String) throws(FileError) {
        let from = LayerChange.folder(FileName(upper), in: AT_FDCWD)
        guard from >= 0 else { throw .call("open", upper) }
        defer { close(from) }
        // A session that may write to the folder above could have put a link in its place.
        let to = linux_open_without_links(path, O_RDONLY | O_DIRECTORY)
        guard to >= 0 else { throw .system("open \(path)", code: -to) }
        defer { close(to) }
        try carry(from, to, path, depth: 0)
    }

    private mutating func carry(_ from: CInt, _ to: CInt, _ path: String, depth: Int) throws(FileError) {
        guard depth < Self.maxDepth else { throw .system("commit \(path)", code: ELOOP) }
        for name in try LayerChange.names(in: from, path) {
            guard let change = LayerChange(name, in: from) else { continue }
            let place = FilePath.join(path, name.description)
            switch change.kind {
            case .removed: try remove(name, in: to, place)
            case .folder(let hidesLower): try carryFolder(change, from, to, place, hidesLower: hidesLower, depth: depth)
            case .file:
                try put(name, in: to, place) { (temporary) throws(FileError) in
                    try Self.copy(name, from, to: temporary, to, place)
                }
                count.files += 1
            case .symlink:
                guard let link = LayerChange.link(name, in: from) else { continue }
                try put(name, in: to, place) { (temporary) throws(FileError) in
                    guard symlinkat(link, to, temporary) == 0,
                        fchownat(to, temporary, change.status.st_uid, change.status.st_gid, AT_SYMLINK_NOFOLLOW) == 0
                    else { throw .system("make \(place)", code: errno) }
                }
                count.links += 1
            case .fifo:
                try put(name, in: to, place) { (temporary) throws(FileError) in
                    guard mkfifoat(to, temporary, change.status.st_mode & 0o777) == 0,
                        fchownat(to, temporary, change.status.st_uid, change.status.st_gid, AT_SYMLINK_NOFOLLOW) == 0
                    else { throw .system("make \(place)", code: errno) }
                }
                count.files += 1
            }
        }
    }

    private mutating func carryFolder(
        _ change: LayerChange, _ from: CInt, _ to: CInt, _ path: String, hidesLower: Bool, depth: Int
    ) throws(FileError) {
        var status = stat()
        let isThere = fstatat(to, change.name.cString, &status, AT_SYMLINK_NOFOLLOW) == 0
        if isThere, hidesLower || status.st_mode & S_IFMT != S_IFDIR { try remove(change.name, in: to, path) }
        guard mkdirat(to, change.name.cString, 0o700) == 0 || errno == EEXIST else {
            throw .system("make \(path)", code: errno)
        }
        let source = LayerChange.folder(change.name, in: from)
        guard source >= 0 else { return }
        defer { close(source) }
        let target = LayerChange.folder(change.name, in: to)
        guard target >= 0 else { throw .call("open", path) }
        defer { close(target) }
        count.folders += 1
        try carry(source, target, path, depth: depth + 1)
        try Self.give(change.status, to: target, path)
    }

    private mutating func remove(_ name: FileName, in folder: CInt, _ path: String) throws(FileError) {
        var status = stat()
        guard fstatat(folder, name.cString, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return }
        count.deleted += 1
        guard status.st_mode & S_IFMT == S_IFDIR else {
            guard unlinkat(folder, name.cString, 0) == 0 || errno == ENOENT else {
                throw .system("delete \(path)", code: errno)
            }
            return
        }
        try FolderChanges.remove(name, in: folder, named: path)
    }

    /// Whoever reads the file meanwhile sees the old one or the new one.
    private mutating func put(
        _ name: FileName, in folder: CInt, _ path: String, make: (_ temporary: String) throws(FileError) -> Void
    ) throws(FileError) {
        var status = stat()
        if fstatat(folder, name.cString, &status, AT_SYMLINK_NOFOLLOW) == 0, status.st_mode & S_IFMT == S_IFDIR {
            try remove(name, in: folder, path)
        }
        let temporary = ".execd-" + String(UInt64.random(in: 0 ... .max), radix: 16)
        do throws(FileError) {
            try make(temporary)
            guard renameat(folder, temporary, folder, name.cString) == 0 else {
                throw .system("replace \(path)", code: errno)
            }
        } catch {
            unlinkat(folder, temporary, 0)
            throw error
        }
    }

    private static func copy(
        _ name: FileName, _ from: CInt, to temporary: String, _ folder: CInt, _ path: String
    ) throws(FileError) {
        let source = LayerChange.file(name, in: from)
        guard source >= 0 else { throw .call("open", path) }
        defer { close(source) }
        var status = stat()
        guard fstat(source, &status) == 0 else { throw .call("look at", path) }
        let target = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard target >= 0 else { throw .system("write \(path)", code: errno) }
        defer { close(target) }
        while true {
            guard let bytes = FileBytes.read(source, upTo: 1 << 18) else { throw .system("read \(path)", code: errno) }
            if bytes.isEmpty { break }
            guard StagedFile.writeAll(bytes[...], to: target) else { throw .system("write \(path)", code: errno) }
        }
        try give(status, to: target, path)
    }

    private static func give(_ status: stat, to descriptor: CInt, _ path: String) throws(FileError) {
        guard fchown(descriptor, status.st_uid, status.st_gid) == 0, fchmod(descriptor, status.st_mode & 0o7777) == 0
        else {
            throw .system("change the owner of \(path)", code: errno)
        }
        var times = [status.st_atim, status.st_mtim]
        _ = futimens(descriptor, &times)
    }
}
