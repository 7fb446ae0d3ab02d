import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// A folder beside another, whose contents are moved there together. Unless they are, it goes with its last reference.
final class StagingFolder: Sendable {
    let top: OpenFolder
    /// Where it is: the target, or the folder that the target will be in.
    private let place: OpenFolder
    private let name: String
    /// The target's name in `place`; nil if `place` is the target.
    private let newName: String?
    private let madeFolders: [String]

    /// - Parameter target: a folder, or where there is nothing yet.
    init(for target: String) throws(FileError) {
        let isNew = try FileStatus.ifAny(target, follows: true) == nil
        let folder = isNew ? FilePath.folder(of: target) : target
        newName = isNew ? FilePath.name(of: target) : nil
        let made = isNew ? try FolderChanges.create(folder) : []
        name = ".execd-" + String(UInt64.random(in: 0 ... .max), radix: 16)
        do throws(FileError) {
            place = try OpenFolder.at(folder)
            guard mkdirat(place.descriptor, name, 0o700) == 0 else { throw .system("write to \(folder)", code: errno) }
            top = try place.folder(name)
        } catch {
            FolderChanges.discard(made)
            throw error
        }
        madeFolders = made
    }

    deinit { discard() }

    /// Removes what has not been moved.
    func discard() {
        try? FolderChanges.removeTree(name, in: place)
        FolderChanges.discard(madeFolders)
    }

    /// Moves everything to the target. A file takes the place of a file or a link; a folder that is there stays as it is, and
    /// gets what is in the new one. Nothing is moved where names are in the way. A file that is mounted, or a folder that may not be
    /// written to, is found in the middle.
    func moveIntoPlace() throws(FileError) {
        guard let newName else {
            try check(top, against: place)
            return try move(top, to: place)
        }
        guard fchmod(top.descriptor, 0o755) == 0 else { throw .system("change the mode of \(newName)", code: errno) }
        let status = linux_rename_at_new(place.descriptor, name, place.descriptor, newName)
        guard status == 0 else { throw .system("make the folder \(newName)", code: -status) }
    }

    private static func isFolder(_ status: stat) -> Bool { status.st_mode & S_IFMT == S_IFDIR }

    private func check(_ from: OpenFolder, against to: OpenFolder) throws(FileError) {
        for name in try from.names() {
            guard let new = try from.status(name), let old = try to.status(name) else { continue }
            let path = FilePath.join(to.path, name)
            guard Self.isFolder(new) == Self.isFolder(old) else {
                throw .invalidFile(
                    Self.isFolder(old)
                        ? "\(path) is a folder" : "\(path) is not a folder, and the archive has one there")
            }
            // Of folders alone: files of an overlay say which layer they are from.
            guard !Self.isFolder(new) || new.st_dev == old.st_dev else {
                throw .invalidFile("\(path) is on another file system")
            }
            if Self.isFolder(new) { try check(try from.folder(name), against: try to.folder(name)) }
        }
    }

    private func move(_ from: OpenFolder, to: OpenFolder) throws(FileError) {
        for name in try from.names() {
            if let old = try to.status(name), Self.isFolder(old) {
                try move(try from.folder(name), to: try to.folder(name))
            } else if renameat(from.descriptor, name, to.descriptor, name) != 0 {
                throw .system("put \(name) into \(to.path)", code: errno)
            }
        }
    }
}
