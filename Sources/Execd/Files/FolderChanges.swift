import System

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

    /// The same, through no link: where others may write to a folder above, a link of theirs leads elsewhere.
    static func createWithoutLinks(
        _ path: String, owner: UInt32? = nil, group: UInt32? = nil
    ) throws(FileError) -> [String] {
        var made: [String] = []
        do throws(FileError) {
            var folder = try OpenFolder.at("/")
            for name in path.split(separator: "/").map(String.init) {
                let isNew = mkdirat(folder.descriptor, name, 0o755) == 0
                let code = errno
                guard let status = try folder.status(name) else {
                    throw .system("make the folder \(path)", code: code)
                }
                guard status.st_mode & S_IFMT != S_IFLNK else {
                    throw .invalidFile("\(FilePath.join(folder.path, name)) is a symbolic link")
                }
                if isNew { made.append(FilePath.join(folder.path, name)) }
                folder = try folder.folder(name)
                if isNew, owner != nil || group != nil {
                    try FileRights.Resolved(owner: owner, group: group).apply(to: folder.descriptor, of: folder.path)
                }
            }
        } catch {
            discard(made)
            throw error
        }
        return made
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
        try remove(FileName(path), in: AT_FDCWD, named: path)
    }

    /// The same for a folder in another one.
    static func removeTree(_ name: String, in folder: OpenFolder) throws(FileError) {
        try remove(FileName(name), in: folder.descriptor, named: FilePath.join(folder.path, name))
    }

    /// Removes what has a name in a folder, and all that is in it, with the rights of this thread.
    static func remove(_ name: FileName, in parent: CInt, named path: String) throws(FileError) {
        do throws(RemovalError) {
            try TreeRemoval.remove(name.cString, in: parent, named: path, by: .rights)
        } catch { throw .call("delete", path, error.code) }
    }
}
