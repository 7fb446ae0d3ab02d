import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Creates and removes folders.
enum FolderChanges {
    /// Creates a folder and its missing parents.
    /// - Returns: the created paths, parents first.
    static func create(_ path: String) throws(FileError) -> [String] {
        guard mkdir(path, 0o755) != 0 else { return [path] }
        let code = errno
        if code == ENOENT {
            let made = try create(FilePath.folder(of: path))
            guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
                let failure = FileError.system("make the folder \(path)", code: errno)
                discard(made)
                throw failure
            }
            return made + [path]
        }
        var status = stat()
        // mkdir(2) may report EROFS or EACCES for an existing folder.
        if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return [] }
        throw .system("make the folder \(path)", code: code)
    }

    /// Changes the owner of folders that were just created; nil leaves it unchanged. The deepest first, because the
    /// owner of a folder could replace what is in it. Links are not followed.
    static func give(_ made: [String], owner: UInt32?, group: UInt32?) throws(FileError) {
        guard owner != nil || group != nil else { return }
        for path in made.reversed() {
            let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard descriptor >= 0 else { throw .call("open", path) }
            defer { close(descriptor) }
            try FileRights.Resolved(owner: owner, group: group).apply(to: descriptor, of: path)
        }
    }

    /// Removes what `create` made, if still empty.
    static func discard(_ made: [String]) {
        for path in made.reversed() { rmdir(path) }
    }

    /// Removes a folder and its contents. Does nothing if it does not exist.
    static func removeTree(_ path: String) throws(FileError) {
        guard path != "/" else { throw .invalidFile("the root folder is not deleted") }
        guard let status = try FileStatus.ifAny(path) else { return }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .system("delete the folder \(path)", code: ENOTDIR) }
        try remove(path, in: AT_FDCWD, named: path, level: 0)
    }

    /// The same for a folder in another one.
    static func removeTree(_ name: String, in folder: OpenFolder) throws(FileError) {
        try remove(name, in: folder.descriptor, named: FilePath.join(folder.path, name), level: 0)
    }

    /// Works through descriptors, so that a folder that is replaced by a link meanwhile leads nowhere else.
    static func remove(
        _ name: String, in parent: CInt, named path: String, level: Int
    ) throws(FileError) {
        guard level < FolderWalk.maxDepth else { throw .system("delete \(path)", code: ELOOP) }
        let descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0, let stream = fdopendir(descriptor) else {
            let code = errno
            if descriptor >= 0 { close(descriptor) }
            if code == ENOENT { return }
            throw .system("delete \(path)", code: code)
        }
        defer { closedir(stream) }
        for child in FolderWalk.names(in: stream) {
            let childPath = FilePath.join(path, child)
            guard unlinkat(descriptor, child, 0) != 0 else { continue }
            switch errno {
            case ENOENT: continue
            case EISDIR, EPERM: try remove(child, in: descriptor, named: childPath, level: level + 1)
            default: throw .system("delete \(childPath)", code: errno)
            }
        }
        guard unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT else {
            throw .system("delete \(path)", code: errno)
        }
    }
}
