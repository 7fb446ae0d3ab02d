import CLinux

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
    var name: String
    var status: stat

    static func == (left: LayerChange, right: LayerChange) -> Bool {
        (left.kind, left.name) == (right.kind, right.name)
    }
    func hash(into hasher: inout Hasher) { hasher.combine(name) }

    /// - Parameter folder: of the upper side.
    /// - Returns: nil for what an archive cannot have, and what has gone meanwhile.
    init?(_ name: String, in folder: CInt) {
        var status = stat()
        guard fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
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

    static func folder(_ name: String, in parent: CInt) -> CInt {
        openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    }

    static func file(_ name: String, in folder: CInt) -> CInt {
        openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    }

    static func link(_ name: String, in folder: CInt) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlinkat(folder, name, &buffer, buffer.count)
        guard length >= 0 else { return nil }
        return String(decoding: buffer.prefix(length).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// The entries of an open folder, sorted.
    static func names(in folder: CInt) -> [String] {
        let own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0, let stream = fdopendir(own) else {
            if own >= 0 { close(own) }
            return []
        }
        defer { closedir(stream) }
        return FolderWalk.names(in: stream).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}
