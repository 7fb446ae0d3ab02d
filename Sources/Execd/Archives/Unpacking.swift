import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Unpacks an archive into a folder. All of it is unpacked beside its place first, and moved there when it has come whole, so that
/// an archive that is refused changes nothing. Calls may block on the disk.
final class Unpacking: Sendable {
    struct Options: Hashable, Sendable {
        /// Symbolic links may lead out of the folder.
        var keepsOutwardLinks = false
        /// Entries get the owners that the archive says.
        var keepsOwners = false
    }

    /// The most entries of an archive.
    static let maxEntries = 1_000_000

    private struct Folder {
        let path: EntryPath
        let entry: TarEntry
    }

    private struct State {
        var reader = TarReader()
        var entries = 0
        /// The file whose content comes.
        var file: (descriptor: CInt, entry: TarEntry)?
        /// Whose rights come last, since they may forbid to put anything into them.
        var folders: [Folder] = []
    }

    private let options: Options
    private let staging: StagingFolder
    private let state = Mutex(State())

    /// - Parameter path: the folder; made where it is missing.
    init(into path: String, _ options: Options) throws(FileError) {
        self.options = options
        staging = try StagingFolder(for: path)
    }

    deinit { state.withLock { state in if let file = state.file { close(file.descriptor) } } }

    /// Takes the next bytes of the archive.
    func consume(_ bytes: [UInt8]) throws(FileError) {
        try state.withLock { (state) throws(FileError) -> Void in
            let events: [TarReader.Event]
            do throws(TarError) { events = try state.reader.push(bytes) } catch {
                throw FileError.invalidContent(error.description)
            }
            for event in events { try handle(event, &state) }
        }
    }

    /// To be called at the end of the archive: puts everything in its place.
    /// - Returns: how many entries there were.
    func finish() throws(FileError) -> Int {
        try state.withLock { (state) throws(FileError) -> Int in
            do throws(TarError) { try state.reader.finish() } catch {
                throw FileError.invalidContent(error.description)
            }
            for folder in state.folders where options.keepsOwners {
                let opened = try staging.top.folder(folder.path.names)
                try withExtendedLifetime(opened) { () throws(FileError) in
                    try setOwner(opened.descriptor, of: folder.entry)
                }
            }
            let kept = try staging.moveIntoPlace()
            // In their places: a folder that may not be written to cannot be moved. Each changes the time of the one that it is in.
            for folder in state.folders.sorted(by: { $0.path.names.count > $1.path.names.count })
            where !kept.contains(folder.path.names) {
                let opened = try staging.movedFolder(folder.path.names)
                try withExtendedLifetime(opened) { () throws(FileError) in
                    try setMode(opened.descriptor, of: folder.entry)
                }
            }
            staging.discard()
            return state.entries
        }
    }

    /// Removes what has been unpacked, unless it is in its place.
    func discard() { staging.discard() }

    private func handle(_ event: TarReader.Event, _ state: inout State) throws(FileError) {
        switch event {
        case .entry(let entry):
            state.entries += 1
            guard state.entries <= Self.maxEntries else {
                throw .invalidContent("the archive has more than \(Self.maxEntries) entries")
            }
            try begin(entry, &state)
        case .bytes(let bytes):
            guard let file = state.file else { return }
            guard StagedFile.writeAll(bytes, to: file.descriptor) else {
                throw .system("write \(file.entry.name)", code: errno)
            }
        case .entryEnded:
            guard let file = state.file else { return }
            state.file = nil
            defer { close(file.descriptor) }
            if options.keepsOwners { try setOwner(file.descriptor, of: file.entry) }
            try setMode(file.descriptor, of: file.entry)
        }
    }

    private func begin(_ entry: TarEntry, _ state: inout State) throws(FileError) {
        let path = try EntryPath(entry.name)
        guard let name = path.names.last else {
            // The folder itself, which is there and stays as it is.
            guard entry.kind == .folder else { throw .invalidContent("an entry has no name") }
            return
        }
        let parent = try folders(path.folder, of: entry)
        switch entry.kind {
        case .folder:
            if mkdirat(parent.descriptor, name, 0o700) != 0 {
                guard errno == EEXIST else { throw failure(entry) }
                guard try isFolder(name, parent) else { throw Self.twoKinds(entry) }
            }
            state.folders.append(Folder(path: path, entry: entry))
        case .file:
            try clear(name, in: parent, for: entry)
            let descriptor = openat(
                parent.descriptor, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { throw failure(entry) }
            state.file = (descriptor, entry)
        case .symbolicLink(let target):
            guard options.keepsOutwardLinks || path.keepsInside(linkTo: target) else {
                throw .invalidContent(
                    "\(entry.name.prefix(200)) links out of the folder, to \(target.prefix(200)): links=keep keeps it")
            }
            try clear(name, in: parent, for: entry)
            guard !target.isEmpty, symlinkat(target, parent.descriptor, name) == 0 else { throw failure(entry) }
            if options.keepsOwners { try own(name, in: parent, entry) }
        case .hardLink(let target):
            try clear(name, in: parent, for: entry)
            try link(name, in: parent, to: EntryPath(target), entry)
        }
    }

    /// The folder that an entry is in; made where the archive has not named it.
    private func folders(_ names: ArraySlice<String>, of entry: TarEntry) throws(FileError) -> OpenFolder {
        var folder = staging.top
        for name in names {
            if mkdirat(folder.descriptor, name, 0o755) != 0, errno != EEXIST { throw failure(entry) }
            do throws(FileError) { folder = try folder.folder(name) } catch {
                throw .invalidContent("\(entry.name.prefix(200)) runs through what is not a folder")
            }
        }
        return folder
    }

    private func isFolder(_ name: String, _ parent: OpenFolder) throws(FileError) -> Bool {
        try parent.status(name).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
    }

    /// An entry takes the place of an earlier one of its name, unless that is a folder.
    private func clear(_ name: String, in parent: OpenFolder, for entry: TarEntry) throws(FileError) {
        guard unlinkat(parent.descriptor, name, 0) != 0, errno != ENOENT else { return }
        throw Self.twoKinds(entry)
    }

    private static func twoKinds(_ entry: TarEntry) -> FileError {
        .invalidContent("\(entry.name.prefix(200)) is there as a folder, and as something else")
    }

    /// Only to a file of this archive.
    private func link(
        _ name: String, in parent: OpenFolder, to target: EntryPath, _ entry: TarEntry
    ) throws(FileError) {
        let missing = FileError.invalidContent(
            "\(entry.name.prefix(200)) is a link to no file of the archive before it")
        guard let last = target.names.last else { throw missing }
        let folder: OpenFolder
        do throws(FileError) { folder = try staging.top.folder(target.folder) } catch { throw missing }
        guard let status = try folder.status(last), status.st_mode & S_IFMT == S_IFREG else { throw missing }
        guard linkat(folder.descriptor, last, parent.descriptor, name, 0) == 0 else { throw failure(entry) }
    }

    private func setOwner(_ descriptor: CInt, of entry: TarEntry) throws(FileError) {
        guard fchown(descriptor, entry.user, entry.group) == 0 else {
            throw .system("change the owner of \(entry.name)", code: errno)
        }
    }

    /// And the time. Bits that have a program run with others' rights are left out.
    private func setMode(_ descriptor: CInt, of entry: TarEntry) throws(FileError) {
        guard fchmod(descriptor, mode_t(entry.mode) & (entry.kind == .folder ? 0o1777 : 0o777)) == 0 else {
            throw .system("change the mode of \(entry.name)", code: errno)
        }
        // A time that the file system does not have is as good as none.
        let time = timespec(tv_sec: Int(entry.modified), tv_nsec: 0)
        _ = futimens(descriptor, [time, time])
    }

    private func own(_ name: String, in parent: OpenFolder, _ entry: TarEntry) throws(FileError) {
        guard fchownat(parent.descriptor, name, entry.user, entry.group, AT_SYMLINK_NOFOLLOW) == 0 else {
            throw .system("change the owner of \(entry.name)", code: errno)
        }
    }

    private func failure(_ entry: TarEntry) -> FileError { .system("unpack \(entry.name)", code: errno) }
}
