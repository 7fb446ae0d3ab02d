#if canImport(Glibc)
    import Glibc
#endif

/// A file that is written beside its target and then replaces it, so that readers see the old content or the new. Unless
/// it is in place, everything that was created for it goes with its last reference.
final class StagedFile {
    /// The final path, with a symbolic link resolved.
    let target: String
    private let temporary: String
    private let madeFolders: [String]
    private var descriptor: CInt
    private let previous: FileRights.Resolved?
    private var isInPlace = false

    /// Creates missing parents and opens an empty file in the target's folder.
    init(_ path: String) throws(FileError) {
        target = Self.behindLinks(path)
        if let status = try FileStatus.ifAny(target, follows: true) {
            guard FileInfo.Kind(status) == .file else { throw .invalidFile("\(path) is not a regular file") }
            previous = FileRights.Resolved(
                mode: FileMode(bits: status.st_mode), owner: status.st_uid, group: status.st_gid)
        } else {
            previous = nil
        }
        let folder = FilePath.folder(of: target)
        madeFolders = try FolderChanges.create(folder)
        temporary = FilePath.join(folder, ".execd-" + String(UInt64.random(in: 0 ... .max), radix: 16))
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        // From here on `deinit` runs, also where this throws, and removes the folders.
        guard descriptor >= 0 else { throw .system("write \(target)", code: errno) }
    }

    private static func behindLinks(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
        guard Self.writeAll(bytes, to: descriptor) else { throw .system("write \(target)", code: errno) }
    }

    /// Finishes writing. Folders created for the file get its owner, who could not use it otherwise. Rights that are
    /// not given are taken from the file that is replaced; a new one gets mode 0644.
    func complete(_ rights: FileRights.Resolved) throws(FileError) {
        defer {
            close(descriptor)
            descriptor = -1
        }
        if let previous, let owner = previous.owner, let group = previous.group {
            // Without the right to change owners it belongs to the caller.
            _ = fchown(descriptor, owner, group)
        }
        var rights = rights
        rights.mode = rights.mode ?? previous?.mode ?? FileMode(bits: 0o644)
        try rights.apply(to: descriptor, of: target)
        try FolderChanges.give(madeFolders, owner: rights.owner, group: rights.group)
    }

    /// Replaces the target. If the target is a mount point, as /etc/hosts often is, it is written in place instead.
    func commit() throws(FileError) {
        if rename(temporary, target) != 0 {
            let code = errno
            guard code == EBUSY else { throw .system("replace \(target)", code: code) }
            try copyIntoTarget()
            unlink(temporary)
        }
        isInPlace = true
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        guard !isInPlace else { return }
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

    static func writeAll(_ bytes: ArraySlice<UInt8>, to descriptor: CInt) -> Bool {
        bytes.withUnsafeBytes { writeAll($0, to: descriptor) }
    }

    static func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: CInt) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            offset += count
        }
        return true
    }
}
