import System

#if canImport(Glibc)
    import Glibc
#endif

/// An open folder. What is in it is reached by its name, never through a link, so that whoever replaces a folder meanwhile leads
/// nobody elsewhere. Closed with its last reference.
final class OpenFolder: Sendable {
    /// For messages.
    let path: String
    let descriptor: CInt

    private init(path: String, descriptor: CInt) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// The folder at a path; links on the way to it are followed.
    static func at(_ path: String) throws(FileError) -> OpenFolder {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOTDIR, (try? FileStatus.ifAny(path, follows: true)) != nil {
                throw .invalidFile("\(path) is not a folder")
            }
            throw .call("open", path)
        }
        return OpenFolder(path: path, descriptor: descriptor)
    }

    /// A folder in this one.
    func folder(_ name: String) throws(FileError) -> OpenFolder {
        let descriptor = openat(self.descriptor, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        let path = FilePath.join(path, name)
        guard descriptor >= 0 else { throw .call("open", path) }
        return OpenFolder(path: path, descriptor: descriptor)
    }

    /// A folder below this one.
    func folder(_ names: some Sequence<String>) throws(FileError) -> OpenFolder {
        var folder = self
        for name in names { folder = try folder.folder(name) }
        return folder
    }

    /// Of the folder itself.
    func status() throws(FileError) -> stat {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .call("look at", path) }
        return status
    }

    /// What has a name here; nil if nothing has. A link itself, not what it names.
    func status(_ name: String) throws(FileError) -> stat? {
        var status = stat()
        guard fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) != 0 else { return status }
        guard errno == ENOENT else { throw .call("look at", FilePath.join(path, name)) }
        return nil
    }

    /// The names of all entries, sorted by their bytes. What is not UTF-8 in them is replaced, and found under no name.
    func names() throws(FileError) -> [String] {
        do throws(SystemCallError) { return try FolderStream(of: descriptor).sorted().map(\.description) } catch {
            throw .call("read", path, error.code)
        }
    }

    /// What a link names.
    func target(ofLink name: String) throws(FileError) -> String {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let length = buffer.withUnsafeMutableBytes { bytes in
            readlinkat(descriptor, name, bytes.baseAddress!.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        guard length >= 0 else { throw .call("read the link", FilePath.join(path, name)) }
        guard let text = String(validating: buffer.prefix(length), as: UTF8.self) else {
            throw .invalidContent("\(FilePath.join(path, name)): the link is not UTF-8")
        }
        return text
    }
}
