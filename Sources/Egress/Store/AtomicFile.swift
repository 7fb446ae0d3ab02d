import Glibc

/// Replaces a file atomically: readers, and the state after a crash, have the old content or the new, never a part.
/// Staging, which may fail for lack of space, is separate from publishing, so that a change can be refused before any
/// of it is in force.
struct AtomicFile: ~Copyable {
    let path: String
    private let temporary: String
    private var isStaged = true

    private let outlivesMachine: Bool

    /// Writes the content beside `path`, mode 0600.
    /// - Parameter outlivesMachine: whether to wait for the disk, here and in `publish`, to survive a power failure.
    ///   The end of the process loses nothing either way.
    init(staging content: [UInt8], for path: String, outlivesMachine: Bool) throws(EgressError) {
        self.path = path
        self.outlivesMachine = outlivesMachine
        self.temporary = path + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw Self.failure(temporary) }
        defer { close(descriptor) }
        var written = 0
        while written < content.count {
            let count = content.withUnsafeBytes {
                write(descriptor, $0.baseAddress! + written, content.count - written)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                let error = Self.failure(temporary)
                unlink(temporary)
                throw error
            }
            written += count
        }
        guard !outlivesMachine || fsync(descriptor) == 0 else {
            let error = Self.failure(temporary)
            unlink(temporary)
            throw error
        }
    }

    /// Puts the staged content in place.
    consuming func publish() throws(EgressError) {
        guard rename(temporary, path) == 0 else { throw Self.failure(path) }
        isStaged = false
        if outlivesMachine { try Self.synchronizeFolder(of: path) }
    }

    deinit {
        if isStaged { unlink(temporary) }
    }

    static func synchronizeFolder(of path: String) throws(EgressError) {
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let descriptor = open(folder.isEmpty ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure(folder) }
    }

    static func failure(_ path: String) -> EgressError {
        .storage(path: path, reason: String(cString: strerror(errno)))
    }
}
