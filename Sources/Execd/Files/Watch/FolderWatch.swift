import CLinux
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Watches a folder, with all below it if that is wanted. Links are not followed. Calls may block on the disk.
///
/// What a client does not read waits in the kernel, which keeps a limited number of notices (fs.inotify.max_queued_events), and
/// then says that it has lost some.
final class FolderWatch: Sendable {
    /// What comes of notices.
    enum Outcome: Hashable, Sendable {
        case change(WatchedFolders.Change)
        /// Changes at and below a folder have been missed; nil for some that could be anywhere.
        case missed(String?)
        case end
    }

    /// The most folders of one watch.
    static let maxFolders = 8192

    /// What the notices are read from; who reads has a descriptor of its own.
    private let notices: CInt
    private let path: String
    /// Of the folder. It is not kept open, since the end of an open one is told when it is closed.
    private let device: dev_t
    private let inode: ino_t
    private let folders: Mutex<WatchedFolders>

    /// - Throws: if the folder, or one below it, cannot be watched.
    init(_ path: String, isRecursive: Bool) throws(FileError) {
        self.path = path
        let top = try OpenFolder.at(path), status = try top.status()
        (device, inode) = (status.st_dev, status.st_ino)
        notices = linux_inotify_create()
        folders = Mutex(WatchedFolders(root: path, isRecursive: isRecursive))
        guard notices >= 0 else { throw .system("watch \(path)", code: -notices) }
        try add(top)
        if isRecursive { _ = try addBelow(top, tells: false, isStrict: true) }
    }

    deinit { if notices >= 0 { close(notices) } }

    /// A descriptor to read notices from, which is the caller's.
    func descriptor() throws(FileError) -> CInt {
        let copy = fcntl(notices, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw .system("watch \(path)", code: errno) }
        return copy
    }

    /// The folder, if it is still at its path.
    private func top() throws(FileError) -> OpenFolder {
        let top = try OpenFolder.at(path), status = try top.status()
        guard status.st_dev == device, status.st_ino == inode else { throw .notFound(path) }
        return top
    }

    /// The changes that notices are about, with those that are found while new folders are looked at.
    func outcomes(of notices: [WatchNotice]) -> [Outcome] {
        var outcomes: [Outcome] = []
        for notice in notices {
            for step in folders.withLock({ $0.steps(notice) }) {
                switch step {
                case .tell(let change): outcomes.append(.change(change))
                case .enter(let path, let tells): outcomes += enter(path, tells: tells)
                case .leave(let watch): linux_inotify_forget(self.notices, watch)
                case .overflow:
                    outcomes.append(.missed(nil))
                    _ = try? addBelow(top(), tells: false, isStrict: false)
                case .end: return outcomes + [.end]
                }
            }
        }
        return outcomes
    }

    private func enter(_ path: String, tells: Bool) -> [Outcome] {
        let names = path.utf8.dropFirst(self.path.utf8.count).split(separator: FilePath.slash).map {
            String(decoding: $0, as: UTF8.self)
        }
        do throws(FileError) {
            let folder = try top().folder(names)
            try add(folder)
            return try addBelow(folder, tells: tells, isStrict: false)
        } catch {
            // It may be gone already, which is told by itself.
            if case .notFound = error { return [] }
            return [.missed(path)]
        }
    }

    /// Watches the folders in a folder, and those in them.
    /// - Parameter isStrict: whether one that cannot be watched is an error; else it is told.
    private func addBelow(_ folder: OpenFolder, tells: Bool, isStrict: Bool) throws(FileError) -> [Outcome] {
        var outcomes: [Outcome] = []
        let top = folder
        // Names, and no open folders: there may be more of them than descriptors.
        var pending: [[String]] = [[]]
        while let place = pending.popLast() {
            let folder: OpenFolder, names: [String], level = place.count + 1
            do throws(FileError) {
                folder = try top.folder(place)
                names = try folder.names()
            } catch {
                if isStrict, level == 1 { throw error }
                continue
            }
            for name in names {
                guard let status = (try? folder.status(name)) ?? nil else { continue }
                let path = FilePath.join(folder.path, name), isFolder = status.st_mode & S_IFMT == S_IFDIR
                if tells { outcomes.append(.change(.init(kind: .create, path: path, isFolder: isFolder))) }
                guard isFolder, level < FolderWalk.maxDepth else { continue }
                do throws(FileError) {
                    let inner = try folder.folder(name)
                    try add(inner)
                    pending.append(place + [name])
                } catch {
                    switch error {
                    case .notFound: break
                    // One that may not be looked into has nothing to tell.
                    case .system(_, code: EACCES), .system(_, code: ELOOP): break
                    default:
                        if isStrict { throw error }
                        outcomes.append(.missed(path))
                    }
                }
            }
        }
        return outcomes
    }

    private func add(_ folder: OpenFolder) throws(FileError) {
        guard folders.withLock({ $0.count }) < Self.maxFolders else {
            throw .invalidRequest("\(path) has more than \(Self.maxFolders) folders: watch one below it")
        }
        let watch = linux_inotify_watch(notices, folder.descriptor)
        guard watch >= 0 else { throw .call("watch", folder.path, -watch) }
        folders.withLock { _ = $0.add(watch, folder.path) }
    }
}
