import CLinux

/// Which folders are watched, and what a notice about one of them means to a client. A value without I/O.
struct WatchedFolders: Sendable {
    /// What a client is told.
    struct Change: Hashable, Sendable {
        enum Kind: String, Encodable, Sendable {
            case create, write, remove, rename, chmod
        }

        var kind: Kind
        var path: String
        var isFolder: Bool
    }

    enum Step: Hashable, Sendable {
        case tell(Change)
        /// Watch a folder that is new here, with what is below it.
        /// - tells: whether its contents are new, too, and the client is to be told of them.
        case enter(String, tells: Bool)
        /// Stop watching.
        case leave(Int32)
        /// Notices were lost: the client is told, and folders that were made meanwhile are looked for.
        case overflow
        /// The watched folder itself is not there any more.
        case end
    }

    let root: String
    let isRecursive: Bool
    private var paths: [Int32: String] = [:]

    init(root: String, isRecursive: Bool) {
        self.root = root
        self.isRecursive = isRecursive
    }

    var count: Int { paths.count }

    /// A folder is watched. One that is known by this number already has been moved.
    /// - Returns: whether it is new.
    @discardableResult
    mutating func add(_ watch: Int32, _ path: String) -> Bool { paths.updateValue(path, forKey: watch) == nil }

    /// What a notice comes to.
    mutating func steps(_ notice: WatchNotice) -> [Step] {
        if notice.isOverflow { return [.overflow] }
        guard let folder = paths[notice.watch] else { return [] }
        let isRoot = folder == root
        if notice.has(LINUX_IN_IGNORED) {
            paths[notice.watch] = nil
            return isRoot ? [.end] : []
        }
        if notice.name.isEmpty {
            // What happens to a folder is told as of an entry of its parent; only the root has none that is watched.
            guard isRoot else { return [] }
            if notice.has(LINUX_IN_DELETE_SELF | LINUX_IN_MOVE_SELF | LINUX_IN_UNMOUNT) { return [.end] }
            return notice.has(LINUX_IN_ATTRIB) ? [.tell(Change(kind: .chmod, path: root, isFolder: true))] : []
        }
        let path = FilePath.join(folder, notice.name)
        guard let kind = Self.kind(notice) else { return [] }
        var steps: [Step] = [.tell(Change(kind: kind, path: path, isFolder: notice.isFolder))]
        guard isRecursive, notice.isFolder else { return steps }
        if notice.has(LINUX_IN_MOVED_FROM) { steps += leave(path) }
        if kind == .create { steps.append(.enter(path, tells: notice.has(LINUX_IN_CREATE))) }
        return steps
    }

    private static func kind(_ notice: WatchNotice) -> Change.Kind? {
        if notice.has(LINUX_IN_CREATE | LINUX_IN_MOVED_TO) { return .create }
        if notice.has(LINUX_IN_MODIFY) { return .write }
        if notice.has(LINUX_IN_DELETE) { return .remove }
        if notice.has(LINUX_IN_MOVED_FROM) { return .rename }
        if notice.has(LINUX_IN_ATTRIB) { return .chmod }
        return nil
    }

    /// What has been moved away is watched anew where it comes back in.
    private mutating func leave(_ path: String) -> [Step] {
        let left = paths.filter { $0.value == path || $0.value.utf8.starts(with: (path + "/").utf8) }.keys.sorted()
        for watch in left { paths[watch] = nil }
        return left.map { .leave($0) }
    }
}
