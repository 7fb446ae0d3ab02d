import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// What a session sees as `/`, by a descriptor: everything that is mounted there, changes of the session and of others at once.
final class SessionRoot: Sendable, Hashable {
    private let descriptor: CInt

    init(descriptor: CInt) { self.descriptor = descriptor }
    deinit { close(descriptor) }

    static func == (left: SessionRoot, right: SessionRoot) -> Bool { left === right }
    func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }

    /// Runs `work` with it as the root of the calling thread, so that paths and links mean what they mean in the session, and none
    /// leads out. `work` must stay on the thread and start no other.
    func perform<Result>(_ work: () throws -> Result) throws -> Result {
        let own = open("/", LINUX_O_PATH | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0 else { throw FileError.call("open", "/") }
        defer { close(own) }
        var status = linux_own_folders()
        if status == 0 { status = linux_change_root(descriptor) }
        guard status == 0 else { throw FileError.system("enter the session's files", code: -status) }
        defer {
            // A thread with another root would take the next request's files from there.
            guard linux_change_root(own) == 0 else { fatalError("a thread could not be given its root back") }
        }
        return try work()
    }
}

/// Which folders of a session are its files for clients.
struct SessionBounds: Hashable, Sendable {
    let root: SessionRoot
    /// Absolute and clean.
    let folders: [String]

    /// Refuses paths that are not in one of the folders, or that lead out of it by a link.
    ///
    /// A link that a session puts there later leads to what the session itself sees: this is no wall, but an answer that says
    /// what is wrong.
    func check(_ path: String) throws(FileError) {
        guard !path.utf8.split(separator: FilePath.slash).contains(where: { $0.elementsEqual("..".utf8) }) else {
            throw .invalidRequest("\(path): .. is not allowed in the files of a session")
        }
        guard let folder = folders.filter({ FilePath.isInside(path, $0) }).max(by: { $0.utf8.count < $1.utf8.count })
        else {
            throw .invalidRequest("\(path) is in none of the session's folders: \(folders.joined(separator: ", "))")
        }
        guard let outside = root.leads(outOf: folder, path) else { return }
        throw .invalidRequest("\(path): \(outside)")
    }
}

extension SessionRoot {
    /// Why a path does not stay in a folder; nil if it does, as far as it exists.
    fileprivate func leads(outOf folder: String, _ path: String) -> String? {
        let relative = String(decoding: folder.utf8.dropFirst(), as: UTF8.self)
        let base = linux_open_beneath(descriptor, relative, LINUX_O_PATH | O_DIRECTORY, 0)
        guard base >= 0 else { return base == -ENOENT ? nil : String(cString: strerror(-base)) }
        defer { close(base) }
        var rest = Array(path.utf8.dropFirst(folder.utf8.count).drop { $0 == FilePath.slash })
        while !rest.isEmpty {
            let found = linux_open_beneath(base, String(decoding: rest, as: UTF8.self), LINUX_O_PATH, 0)
            if found >= 0 {
                close(found)
                return nil
            }
            guard found == -ENOENT || found == -ENOTDIR else {
                return found == -EXDEV || found == -ELOOP
                    ? "a link leads out of \(folder)" : String(cString: strerror(-found))
            }
            rest = Array(rest[..<(rest.lastIndex(of: FilePath.slash) ?? 0)])
        }
        return nil
    }
}
