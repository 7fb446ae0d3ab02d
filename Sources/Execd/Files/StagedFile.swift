#if canImport(Glibc)
    import Glibc
#endif

/// A file written beside its target that takes the target's place when it is whole: readers see the old content or the
/// new, and what is broken off leaves nothing.
struct StagedFile: Sendable {
    /// Where it will be: behind the symbolic link, if the path is one.
    let target: String
    private let temporary: String
    private let madeFolders: [String]
    private var descriptor: CInt
    private let previous: FileRights.Resolved?

    /// Makes missing parents and opens an empty file in the target's folder.
    init(_ path: String) throws(FileError) {
        target = Self.behindLinks(path)
        if let status = try FileStatus.ifAny(target, follows: true) {
            guard FileInfo.Kind(status) == .file else { throw .invalidFile("\(path) is no regular file") }
            previous = FileRights.Resolved(
                mode: FileMode(bits: status.st_mode), owner: status.st_uid, group: status.st_gid)
        } else {
            previous = nil
        }
        let folder = FilePath.folder(of: target)
        madeFolders = try FolderChanges.create(folder)
        temporary = FilePath.join(folder, ".execd-" + String(UInt64.random(in: 0 ... .max), radix: 16))
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            let failure = FileError.system("write \(target)", code: errno)
            FolderChanges.discard(madeFolders)
            throw failure
        }
    }

    private static func behindLinks(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    func write(_ bytes: ArraySlice<UInt8>) throws(FileError) {
        guard Self.writeAll(bytes, to: descriptor) else { throw .system("write \(target)", code: errno) }
    }

    /// Ends the writing. Folders that were made for the file get its owner, else that one could not use it. What `rights` leaves open is taken from the file that is replaced; a new one gets mode 0644.
    mutating func complete(_ rights: FileRights.Resolved) throws(FileError) {
        defer {
            close(descriptor)
            descriptor = -1
        }
        if let previous, let owner = previous.owner, let group = previous.group {
            // Not everybody may give a file away: then it belongs to its writer.
            _ = fchown(descriptor, owner, group)
        }
        var rights = rights
        rights.mode = rights.mode ?? previous?.mode ?? FileMode(bits: 0o644)
        try rights.apply(to: descriptor, of: target)
        try FolderChanges.give(madeFolders, owner: rights.owner, group: rights.group)
    }

    /// Puts it in its place. A target that is a mount point, as /etc/hosts often is, is written in place instead.
    func commit() throws(FileError) {
        guard rename(temporary, target) != 0 else { return }
        let code = errno
        guard code == EBUSY else { throw .system("replace \(target)", code: code) }
        try copyIntoTarget()
        unlink(temporary)
    }

    /// Takes everything away that it has made.
    func discard() {
        if descriptor >= 0 { close(descriptor) }
        unlink(temporary)
        FolderChanges.discard(madeFolders)
    }

    private func copyIntoTarget() throws(FileError) {
        let source = open(temporary, O_RDONLY | O_CLOEXEC), destination = open(target, O_WRONLY | O_TRUNC | O_CLOEXEC)
        defer {
            close(source)
            close(destination)
        }
        guard source >= 0, destination >= 0 else { throw .system("replace \(target)", code: errno) }
        while true {
            guard let piece = FileBytes.read(source, upTo: 1 << 18) else {
                throw .system("replace \(target)", code: errno)
            }
            if piece.isEmpty { break }
            guard Self.writeAll(piece[...], to: destination) else { throw .system("replace \(target)", code: errno) }
        }
        var status = stat()
        guard fstat(source, &status) == 0 else { throw .system("replace \(target)", code: errno) }
        try FileRights.Resolved(
            mode: FileMode(bits: status.st_mode), owner: status.st_uid, group: status.st_gid
        ).apply(to: destination, of: target)
    }

    private static func writeAll(_ bytes: ArraySlice<UInt8>, to descriptor: CInt) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var offset = 0
            while offset < buffer.count {
                let count = Glibc.write(descriptor, buffer.baseAddress! + offset, buffer.count - offset)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return false }
                offset += count
            }
            return true
        }
    }
}
