import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Makes an archive of a folder, piece by piece. Links are packed as such, never followed; sockets, devices and FIFOs are left out.
/// Calls may block on the disk.
final class Packing: Sendable {
    /// About so many bytes at a time.
    static let piece = 256 << 10
    /// Files with several names that are remembered; the names of others become files of their own.
    private static let maxLinks = 1 << 18

    private struct Level {
        let folder: OpenFolder
        /// The names in the archive begin with it.
        let prefix: String
        var names: ArraySlice<String>
    }

    private struct Inode: Hashable {
        let device: dev_t
        let number: ino_t
    }

    private struct State {
        var levels: [Level]
        /// The file whose content comes, and how much of it.
        var file: (descriptor: CInt, path: String, left: Int64, padding: Int)?
        var links: [Inode: String] = [:]
        var hasEnded = false
    }

    private let state: Mutex<State>
    private let device: dev_t

    init(_ path: String) throws(FileError) {
        let folder = try OpenFolder.at(path)
        device = try folder.status().st_dev
        state = Mutex(State(levels: [Level(folder: folder, prefix: "", names: try folder.names()[...])]))
    }

    deinit { state.withLock { if let file = $0.file { close(file.descriptor) } } }

    /// The next bytes; empty at the end.
    /// - Throws: if something cannot be read, or a file becomes shorter while it is.
    func next() throws(FileError) -> [UInt8] {
        try state.withLock { (state) throws(FileError) -> [UInt8] in
            var bytes: [UInt8] = []
            while bytes.count < Self.piece {
                if state.file != nil {
                    try readFile(&state, &bytes)
                } else if let level = state.levels.last {
                    guard let name = level.names.first else {
                        state.levels.removeLast()
                        continue
                    }
                    state.levels[state.levels.count - 1].names.removeFirst()
                    try add(name, level, &state, &bytes)
                } else {
                    if !state.hasEnded { bytes += TarBlock.end }
                    state.hasEnded = true
                    break
                }
            }
            return bytes
        }
    }

    private func add(_ name: String, _ level: Level, _ state: inout State, _ bytes: inout [UInt8]) throws(FileError) {
        // Gone since its folder was read.
        guard let status = try level.folder.status(name) else {
            guard !name.unicodeScalars.contains("\u{fffd}") else {
                throw .invalidContent("\(FilePath.join(level.folder.path, name)): its name is not UTF-8")
            }
            return
        }
        var entry = TarEntry(name: level.prefix + name, kind: .file)
        entry.mode = UInt32(status.st_mode) & 0o7777
        (entry.user, entry.group, entry.modified) = (status.st_uid, status.st_gid, Int64(status.st_mtim.tv_sec))
        switch status.st_mode & S_IFMT {
        case S_IFDIR:
            guard state.levels.count < FolderWalk.maxDepth else {
                throw .system("pack \(FilePath.join(level.folder.path, name))", code: ELOOP)
            }
            let folder: OpenFolder
            do throws(FileError) { folder = try level.folder.folder(name) } catch {
                // Gone meanwhile.
                if case .notFound = error { return }
                throw error
            }
            // The kernel's own files say sizes that they do not have.
            guard status.st_dev == device || !FolderWalk.isOfKernel(folder.path) else { return }
            entry.kind = .folder
            entry.name += "/"
            bytes += TarWriter.header(entry)
            state.levels.append(Level(folder: folder, prefix: entry.name, names: try folder.names()[...]))
        case S_IFLNK:
            entry.kind = .symbolicLink(try level.folder.target(ofLink: name))
            bytes += TarWriter.header(entry)
        case S_IFREG: try addFile(name, entry, level, &state, &bytes)
        default: break
        }
    }

    private func addFile(
        _ name: String, _ entry: TarEntry, _ level: Level, _ state: inout State, _ bytes: inout [UInt8]
    ) throws(FileError) {
        let path = FilePath.join(level.folder.path, name)
        let descriptor = openat(level.folder.descriptor, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return }
            throw .call("read", path)
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return
        }
        var entry = entry
        if status.st_nlink > 1 {
            let inode = Inode(device: status.st_dev, number: status.st_ino)
            if let first = state.links[inode] {
                close(descriptor)
                entry.kind = .hardLink(first)
                bytes += TarWriter.header(entry)
                return
            }
            if state.links.count < Self.maxLinks { state.links[inode] = entry.name }
        }
        entry.size = Int64(status.st_size)
        bytes += TarWriter.header(entry)
        state.file = (descriptor, path, entry.size, TarBlock.padding(behind: entry.size))
    }

    private func readFile(_ state: inout State, _ bytes: inout [UInt8]) throws(FileError) {
        guard let file = state.file else { return }
        if file.left == 0 {
            bytes += [UInt8](repeating: 0, count: file.padding)
            close(file.descriptor)
            state.file = nil
            return
        }
        guard let part = FileBytes.read(file.descriptor, upTo: Int(min(file.left, Int64(Self.piece)))) else {
            throw .system("read \(file.path)", code: errno)
        }
        guard !part.isEmpty else { throw .invalidContent("\(file.path) was cut while it was packed") }
        bytes += part
        state.file?.left -= Int64(part.count)
    }
}
