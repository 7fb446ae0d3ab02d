import CLinux
import Synchronization

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
    private let isOver = Atomic(false)

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

    deinit {
        // What it was made by has been called off; on no thread that others wait for.
        guard !isOver.load(ordering: .acquiring) else { return }
        FileWork.later { [place, name, madeFolders] in Self.remove(name, in: place, madeFolders) }
    }

    /// Removes what has not been moved. Nothing can be moved after it.
    func discard() {
        guard !isOver.exchange(true, ordering: .acquiringAndReleasing) else { return }
        Self.remove(name, in: place, madeFolders)
    }

    private static func remove(_ name: String, in place: OpenFolder, _ madeFolders: [String]) {
        try? FolderChanges.removeTree(name, in: place)
        FolderChanges.discard(madeFolders)
    }

    /// Moves everything to the target. A file takes the place of a file or a link; a folder that is there stays as it is, and
    /// gets what is in the new one. Nothing is moved where something is in the way: a name of the other kind, what is mounted or
    /// protected, or a folder that may not be written to.
    /// - Returns: the folders that were there, by their names below the target.
    func moveIntoPlace() throws(FileError) -> Set<[String]> {
        guard let newName else {
            try check(top, against: place)
            var kept: Set<[String]> = []
            try move(top, to: place, [], &kept)
            return kept
        }
        guard fchmod(top.descriptor, 0o755) == 0 else { throw .system("change the mode of \(newName)", code: errno) }
        let status = linux_rename_at_new(place.descriptor, name, place.descriptor, newName)
        guard status == 0 else { throw .system("make the folder \(newName)", code: -status) }
        return []
    }

    /// A folder that has been moved.
    func movedFolder(_ names: [String]) throws(FileError) -> OpenFolder {
        // An open folder that gets another name stays the same.
        try (newName == nil ? place : top).folder(names)
    }

    private static func isFolder(_ status: stat) -> Bool { status.st_mode & S_IFMT == S_IFDIR }

    private func check(_ from: OpenFolder, against to: OpenFolder) throws(FileError) {
        var isChanged = false
        for name in try from.names() {
            guard let new = try from.status(name), let old = try to.status(name) else {
                isChanged = true
                continue
            }
            let path = FilePath.join(to.path, name)
            guard Self.isFolder(new) == Self.isFolder(old) else {
                throw .invalidFile(
                    Self.isFolder(old)
                        ? "\(path) is a folder" : "\(path) is not a folder, and the archive has one there")
            }
            let status = linux_check_replaceable(to.descriptor, name)
            // A folder's own protection is its own: only what is put into it matters, and that is looked at there.
            if status == -EBUSY { throw .invalidFile("\(path) is on another file system, or mounted by itself") }
            if Self.isFolder(new) {
                // Of folders alone, and for kernels before 5.8: files of an overlay say which layer they are from.
                guard new.st_dev == old.st_dev else { throw .invalidFile("\(path) is on another file system") }
                try check(try from.folder(name), against: try to.folder(name))
            } else {
                guard status == 0 else { throw .system("replace \(path)", code: -status) }
                isChanged = true
            }
        }
        guard isChanged, faccessat(to.descriptor, ".", W_OK | X_OK, AT_EACCESS) != 0 else { return }
        throw .system("write to \(to.path)", code: errno)
    }

    private func move(
        _ from: OpenFolder, to: OpenFolder, _ names: [String], _ kept: inout Set<[String]>
    ) throws(FileError) {
        for name in try from.names() {
            if let old = try to.status(name), Self.isFolder(old) {
                kept.insert(names + [name])
                try move(try from.folder(name), to: try to.folder(name), names + [name], &kept)
            } else if renameat(from.descriptor, name, to.descriptor, name) != 0 {
                throw .system("put \(name) into \(to.path)", code: errno)
            }
        }
    }
}
