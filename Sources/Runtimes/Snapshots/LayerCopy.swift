import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Copies the layer of a sandbox that stands still, or a layer beneath it onto which others will be copied.
///
/// The layer is hostile: names that are not UTF-8, links to anywhere, many folders. Both sides are walked through
/// descriptors, never through a link or out of the tree, one folder at a time, so that depth costs no descriptors.
/// A path that no system call takes (4096 bytes) fails the copy, as it fails `tar`.
final class LayerCopy {
    private let source: FileDescriptor
    private let target: FileDescriptor
    private let links: FileDescriptor
    private let attributes: LayerAttributes
    /// Paths that stay behind.
    private let excluded: Set<TreePath>
    private let place: LayerTarget
    /// Whether there may be something at the target already, from layers below this one.
    private let joins: Bool
    private var content = LayerContent()
    private var steps = 0

    /// What of one layer's folders may wait to be copied, in bytes of their names.
    private static let maxWaiting = 64 << 20
    /// How many entries lie between two looks at the disk.
    private static let stepsPerLook = 256

    /// - Parameters:
    ///   - source: the layer's folder.
    ///   - joins: whether layers below it have been copied to the target before.
    init(
        _ source: String, to place: LayerTarget, _ attributes: LayerAttributes, excluded: Set<TreePath> = [],
        joins: Bool = false
    ) throws(RuntimeError) {
        for path in [place.files, place.links] where mkdir(path, 0o700) != 0 && errno != EEXIST {
            throw Self.failure("making \(path)")
        }
        self.source = try Self.folder(source)
        target = try Self.folder(place.files)
        links = try Self.folder(place.links)
        self.attributes = attributes
        self.excluded = excluded
        self.place = place
        self.joins = joins
    }

    private static func folder(_ path: String) throws(RuntimeError) -> FileDescriptor {
        do throws(SystemCallError) {
            return try FileDescriptor(opening: path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        } catch {
            throw .system(action: "opening \(path)", reason: "\(error)")
        }
    }

    /// Copies all of it.
    /// - Throws: `.diskNearlyFull`, `.cancelled`, or what failed; the target is then a part of the layer.
    func run() throws(RuntimeError) {
        var waiting = WaitingFolders()
        var next: TreePath? = "."
        while let folder = next {
            try copy(folder, &waiting)
            guard waiting.bytes <= Self.maxWaiting else {
                throw .system(action: "copying the layer", reason: "it has too many folders beside each other")
            }
            next = waiting.next()
        }
        do throws(RemovalError) { try TreeRemoval.remove(place.links) } catch {
            throw .system(action: "copying the layer", reason: "\(error)")
        }
    }

    /// Copies a folder's own attributes and entries, and leaves the folders in it for later.
    private func copy(_ folder: TreePath, _ waiting: inout WaitingFolders) throws(RuntimeError) {
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
        let from = linux_open_within(source.number, folder.bytes, flags)
        guard from >= 0 else { throw Self.failure(folder, -from) }
        defer { close(from) }
        let to = linux_open_within(target.number, folder.bytes, flags)
        guard to >= 0 else { throw Self.failure(folder, -to) }
        defer { close(to) }
        var status = stat()
        guard fstat(from, &status) == 0 else { throw Self.failure(folder) }
        if joins {
            try LayerFile.dropAttributes(of: to, folder)
            if LayerFile.isOpaque(from) { try empty(to, folder) }
        }
        waiting.open(folder)
        let names = try Self.reading(folder) { () throws(SystemCallError) in try FolderStream(of: from) }
        while let found = try Self.reading(folder, { () throws(SystemCallError) in try names.read() }) {
            let name = TreePath(found)
            let path = folder.appending(name)
            guard !excluded.contains(path) else { continue }
            var status = stat()
            guard fstatat(from, name.bytes, &status, AT_SYMLINK_NOFOLLOW) == 0 else { throw Self.failure(path) }
            if try copy(name, status, from, to, path) { waiting.add(name) }
            try step()
        }
        // Behind its entries, which would take its default ACL. Nothing changes it afterwards: the folders in it are there.
        try LayerFile.giveAttributes(from, to, status, attributes, isFolder: true, folder)
        try LayerFile.giveTimes(to, status, folder)
    }

    /// - Returns: whether it is a folder, whose entries are to be copied.
    private func copy(
        _ name: TreePath, _ status: stat, _ from: CInt, _ to: CInt, _ path: TreePath
    ) throws(RuntimeError) -> Bool {
        let kind = status.st_mode & S_IFMT
        let isWhiteout = kind == S_IFCHR && status.st_rdev == 0
        let replaced = joins ? try clear(name, for: kind, in: to, path) : .nothing
        switch kind {
        case S_IFDIR:
            guard replaced != .folder else { return true }
            guard mkdirat(to, name.bytes, 0o700) == 0 else { throw Self.failure(path) }
            // What it takes the place of hid what layers below have there.
            if replaced == .other { try LayerFile.makeOpaque(name, in: to, path) }
            return true
        case S_IFREG:
            try copyFile(name, status, from, to, path)
        case S_IFLNK:
            try LayerFile.copyLink(name, status, from, to, attributes, path)
        case S_IFIFO:
            guard mkfifoat(to, name.bytes, 0o600) == 0 else { throw Self.failure(path) }
            try LayerFile.give(name, status, in: to, attributes, path)
        case _ where isWhiteout:
            guard mknodat(to, name.bytes, S_IFCHR, 0) == 0 else { throw Self.failure(path) }
        // Sockets belong to processes, and a sandbox has no devices of its own. No whiteout takes their place: overlayfs shows it
        // where nothing lies below.
        default: break
        }
        return false
    }

    private func copyFile(
        _ name: TreePath, _ status: stat, _ from: CInt, _ to: CInt, _ path: TreePath
    ) throws(RuntimeError) {
        // A file of several names is found again by its number, which nobody inside can choose.
        let key: TreePath? = status.st_nlink > 1 ? "\(status.st_dev)-\(status.st_ino)" : nil
        if let key {
            if linkat(links.number, key.bytes, to, name.bytes, 0) == 0 { return }
            guard errno == ENOENT || errno == EMLINK else { throw Self.failure(path) }
            if errno == EMLINK { unlinkat(links.number, key.bytes, 0) }
        }
        let file = linux_open_within(from, name.bytes, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { throw Self.failure(path, -file) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw Self.failure(path, ESTALE)
        }
        let copy = openat(to, name.bytes, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard copy >= 0 else { throw Self.failure(path) }
        defer { close(copy) }
        let place = place
        // A file may say that it has any size.
        try content.copy(from: file, to: copy, size: Int64(status.st_size)) { () throws(RuntimeError) in
            try Self.look(place)
        }
        try LayerFile.giveAttributes(file, copy, status, attributes, isFolder: false, path)
        try LayerFile.giveTimes(copy, status, path)
        if let key, linkat(to, name.bytes, links.number, key.bytes, 0) != 0 { throw Self.failure(path) }
    }

    // MARK: What layers below have left

    private enum Replaced { case nothing, folder, other }

    /// Makes room for an entry of this layer.
    private func clear(
        _ name: TreePath, for kind: mode_t, in folder: CInt, _ path: TreePath
    ) throws(RuntimeError) -> Replaced {
        var status = stat()
        guard fstatat(folder, name.bytes, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
            guard errno == ENOENT else { throw Self.failure(path) }
            return .nothing
        }
        if kind == S_IFDIR && status.st_mode & S_IFMT == S_IFDIR { return .folder }
        do throws(RemovalError) {
            try TreeRemoval.remove(name.bytes, in: folder, named: "an entry of a layer", by: .force)
        } catch {
            throw Self.failure(path, error.code)
        }
        return .other
    }

    private func empty(_ folder: CInt, _ path: TreePath) throws(RuntimeError) {
        let names = try Self.reading(path) { () throws(SystemCallError) in try FolderStream(of: folder) }
        while let name = try Self.reading(path, { () throws(SystemCallError) in try names.read() }) {
            _ = try clear(TreePath(name), for: S_IFREG, in: folder, path)
        }
    }

    // MARK: Limits

    private func step() throws(RuntimeError) {
        steps &+= 1
        if steps % Self.stepsPerLook == 0 { try Self.look(place) }
    }

    private static func look(_ place: LayerTarget) throws(RuntimeError) {
        if place.isCalledOff.isGiven { throw .cancelled }
        try place.reserve.check()
    }

    private static func reading<Result>(
        _ folder: TreePath, _ body: () throws(SystemCallError) -> Result
    ) throws(RuntimeError) -> Result {
        do throws(SystemCallError) { return try body() } catch { throw failure(folder, error.code) }
    }

    private static func failure(_ path: TreePath, _ code: CInt = errno) -> RuntimeError {
        LayerFile.failure(path, code)
    }

    private static func failure(_ action: String) -> RuntimeError {
        .system(action: action, reason: String(cString: strerror(errno)))
    }
}

/// Folders that are known and not yet copied: for each open one the names of those in it. Names stand in one row of bytes,
/// since a layer may have hundreds of thousands.
private struct WaitingFolders {
    private var levels: [(path: TreePath, names: [CChar])] = []
    private(set) var bytes = 0

    /// Names that are added belong to this folder.
    mutating func open(_ path: TreePath) { levels.append((path, [])) }

    mutating func add(_ name: TreePath) {
        levels[levels.count - 1].names += name.bytes
        bytes += name.bytes.count
    }

    /// The path of the next one, deeper ones first.
    mutating func next() -> TreePath? {
        while let last = levels.indices.last {
            guard !levels[last].names.isEmpty else {
                levels.removeLast()
                continue
            }
            // Behind each name stands a zero.
            let names = levels[last].names.dropLast()
            let start = names.lastIndex(of: 0).map { $0 + 1 } ?? 0
            let name = TreePath(bytes: levels[last].names[start...])
            levels[last].names.removeSubrange(start...)
            bytes -= name.bytes.count
            return levels[last].path.appending(name)
        }
        return nil
    }
}
