import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Makes folders and takes them away.
enum FolderChanges {
    /// Makes a folder and the parents that are missing.
    /// - Returns: the paths that were made, parents first.
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
        // EROFS and EACCES may come before EEXIST.
        if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return [] }
        throw .system("make the folder \(path)", code: code)
    }

    /// Gives away folders that were just made; nil leaves an owner as it is. The deepest first: whoever owns one may put another
    /// thing into its place. Links are not followed.
    static func give(_ made: [String], owner: UInt32?, group: UInt32?) throws(FileError) {
        guard owner != nil || group != nil else { return }
        for path in made.reversed() {
            let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard descriptor >= 0 else { throw .call("open", path) }
            defer { close(descriptor) }
            try FileRights.Resolved(owner: owner, group: group).apply(to: descriptor, of: path)
        }
    }

    /// Takes back what `create` made, where it is still empty.
    static func discard(_ made: [String]) {
        for path in made.reversed() { rmdir(path) }
    }

    /// Removes a folder with all that is in it. Nothing there: nothing to do.
    static func removeTree(_ path: String) throws(FileError) {
        guard path != "/" else { throw .invalidFile("the root folder is not deleted") }
        guard let status = try FileStatus.ifAny(path) else { return }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .system("delete the folder \(path)", code: ENOTDIR) }
        try remove(path, in: AT_FDCWD, named: path, level: 0)
    }

    /// Through descriptors, so that a folder that becomes a link meanwhile leads nowhere.
    private static func remove(
        _ name: String, in parent: CInt, named path: String, level: Int
    ) throws(FileError) {
        guard level < FolderWalk.deepest else { throw .system("delete \(path)", code: ELOOP) }
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
