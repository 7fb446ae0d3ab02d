#if canImport(Glibc)
    import Glibc
#endif

/// Replaces a file atomically. Staging, which fails on a full disk, is separate from publishing, so that a change can
/// be refused before any of it is in force. Staged content that is not published is removed.
package struct ReplacementFile: ~Copyable {
    package let path: String
    private let temporary: String
    /// What the name of staged content ends with. A process that is killed leaves it: where names are of things that may be gone by
    /// then, whoever comes next has to remove it.
    package static let suffix = ".new"
    private let synchronizes: Bool
    private var isStaged = true

    /// Writes the content beside `path`, as `path.new`.
    /// - Parameter synchronizes: whether to wait for the disk, here and in `publish`, to survive a power failure. The
    ///   end of the process loses nothing either way.
    package init(
        staging content: [UInt8], for path: String, mode: mode_t = 0o600, synchronizes: Bool = false
    ) throws(SystemCallError) {
        self.path = path
        self.synchronizes = synchronizes
        temporary = path + Self.suffix
        do throws(SystemCallError) {
            try File.write(content, to: temporary, mode: mode, synchronizes: synchronizes)
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Puts the staged content in place.
    package consuming func publish() throws(SystemCallError) {
        guard rename(temporary, path) == 0 else { throw .last }
        isStaged = false
        if synchronizes { try Self.synchronizeFolder(of: path) }
    }

    deinit {
        if isStaged { unlink(temporary) }
    }

    private static func synchronizeFolder(of path: String) throws(SystemCallError) {
        // By scalars: a slash with a combining mark after it is a different Character.
        let name = path.unicodeScalars.lastIndex(of: "/").map { path[...$0] } ?? "./"
        let folder = try FileDescriptor(opening: String(name), O_RDONLY | O_DIRECTORY)
        guard fsync(folder.number) == 0 else { throw .last }
    }
}
