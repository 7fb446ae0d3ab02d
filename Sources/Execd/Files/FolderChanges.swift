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
        try remove(path, in: AT_FDCWD, named: path)
    }

    /// The same for a folder in another one.
    static func removeTree(_ name: String, in folder: OpenFolder) throws(FileError) {
        try remove(name, in: folder.descriptor, named: FilePath.join(folder.path, name))
    }

    /// Works through descriptors, so that a folder that is replaced by a link meanwhile leads nowhere else.
    static func remove(
        _ name: String, in parent: CInt, named path: String
    ) throws(FileError) {
        let top = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard top >= 0 else {
            if errno == ENOENT { return }
            throw .call("delete", path)
        }
        defer { close(top) }
        // Each time what was too deep has come nearer.
        while try empty(top, below: top, level: 0, named: path) {}
        guard unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT else {
            throw .system("delete \(path)", code: errno)
        }
    }

    /// How many folders are open at once. What is deeper is moved up, and found there the next time.
    private static let maxOpen = 128

    /// - Returns: whether anything was moved up.
    private static func empty(
        _ folder: CInt, below top: CInt, level: Int, named path: String
    ) throws(FileError) -> Bool {
        var hasMoved = false
        for name in try names(in: folder, path) where unlinkat(folder, name, 0) != 0 {
            switch errno {
            case ENOENT: continue
            case EISDIR, EPERM: break
            default: throw .system("delete what is in \(path)", code: errno)
            }
            guard level < maxOpen else {
                let other = ".deep-" + String(UInt64.random(in: 0 ... .max), radix: 16)
                guard renameat(folder, name, top, other) == 0 else {
                    throw .system("delete what is in \(path)", code: errno)
                }
                hasMoved = true
                continue
            }
            let inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard inner >= 0 else {
                if errno == ENOENT { continue }
                throw .system("delete what is in \(path)", code: errno)
            }
            defer { close(inner) }
            if try empty(inner, below: top, level: level + 1, named: path) { hasMoved = true }
            guard unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT else {
                throw .system("delete what is in \(path)", code: errno)
            }
        }
        return hasMoved
    }

    /// As the kernel has them: a name need not be UTF-8.
    private static func names(in folder: CInt, _ path: String) throws(FileError) -> [[CChar]] {
        let copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard copy >= 0, let stream = fdopendir(copy) else {
            let code = errno
            if copy >= 0 { close(copy) }
            throw .system("read \(path)", code: code)
        }
        defer { closedir(stream) }
        var names: [[CChar]] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                Array($0.bindMemory(to: CChar.self).prefix { $0 != 0 })
            }
            if name != [0x2E] && name != [0x2E, 0x2E] { names.append(name + [0]) }
        }
        return names
    }
}
