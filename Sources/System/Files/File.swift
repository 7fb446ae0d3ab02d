import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Reads and writes whole files.
package enum File {
    /// The default limit in bytes: more than any of our files, but not enough to do harm.
    package static let usualLimit = 64 << 20

    /// Reads a whole file, without asking for its size, which is 0 for files of /proc.
    ///
    /// Does not wait for a FIFO or a device without data.
    /// - Throws: EFBIG for more than `limit` bytes, EAGAIN if it would have to wait.
    package static func read(
        _ path: String, limit: Int = usualLimit, followsLinks: Bool = true
    ) throws(SystemCallError) -> [UInt8] {
        let file = try FileDescriptor(opening: path, O_RDONLY | O_NONBLOCK | (followsLinks ? 0 : O_NOFOLLOW))
        return try read(file.number, limit: limit)
    }

    /// The same; nil if there is no such file.
    package static func readIfPresent(
        _ path: String, limit: Int = usualLimit, followsLinks: Bool = true
    ) throws(SystemCallError) -> [UInt8]? {
        do throws(SystemCallError) {
            return try read(path, limit: limit, followsLinks: followsLinks)
        } catch {
            guard error.code == ENOENT || error.code == ENOTDIR else { throw error }
            return nil
        }
    }

    /// The whole file as text; nil if it cannot be read for any reason.
    package static func text(_ path: String, limit: Int = usualLimit) -> String? {
        (try? read(path, limit: limit)).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Reads the rest of a descriptor from its current position.
    package static func read(_ descriptor: CInt, limit: Int = usualLimit) throws(SystemCallError) -> [UInt8] {
        var content: [UInt8] = []
        var failure: SystemCallError?
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 1) { chunk in
            while failure == nil {
                let count = Glibc.read(descriptor, chunk.baseAddress, chunk.count)
                if count < 0 && errno == EINTR { continue }
                if count < 0 { failure = .last }
                if count <= 0 { return }
                content += chunk[..<count]
                if content.count > limit { failure = SystemCallError(code: EFBIG) }
            }
        }
        if let failure { throw failure }
        return content
    }

    /// Writes the file in place. A reader may see a part of the content; use `ReplacementFile` to avoid that.
    /// - Parameter synchronizes: whether to wait for the disk, to survive a power failure. The end of the process loses
    ///   nothing either way.
    package static func write(
        _ bytes: [UInt8], to path: String, mode: mode_t, synchronizes: Bool = false
    ) throws(SystemCallError) {
        let file = try FileDescriptor(opening: path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: mode)
        try write(bytes, to: file.number)
        guard !synchronizes || fsync(file.number) == 0 else { throw .last }
    }

    /// Writes all bytes, with as many calls as needed.
    package static func write(_ bytes: some Sequence<UInt8>, to descriptor: CInt) throws(SystemCallError) {
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            // write(2) gives no reason for writing nothing.
            guard count != 0 else { throw SystemCallError(code: EIO) }
            guard count > 0 else { throw .last }
            rest = rest.dropFirst(count)
        }
    }

    /// Replaces the file atomically: readers, and the state after a crash, have the old content or the new, never a
    /// part.
    package static func replace(
        _ path: String, with bytes: [UInt8], mode: mode_t, synchronizes: Bool = false
    ) throws(SystemCallError) {
        try ReplacementFile(staging: bytes, for: path, mode: mode, synchronizes: synchronizes).publish()
    }

    /// Makes a folder, and those above it that are missing. One that is there stays as it is.
    package static func makeFolder(_ path: String, mode: mode_t = 0o755) throws(SystemCallError) {
        if mkdir(path, mode) == 0 { return }
        var failure = SystemCallError.last
        let above = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[..<$0]) } ?? ""
        if failure.code == ENOENT, !above.isEmpty {
            try makeFolder(above, mode: mode)
            // Once: some folders, such as /proc, never take one.
            if mkdir(path, mode) == 0 { return }
            failure = .last
        }
        var status = stat()
        guard failure.code == EEXIST, stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw failure
        }
    }

    /// When a file was made, in Unix seconds; nil where its file system does not say.
    package static func birth(of descriptor: CInt) -> Int64? {
        let moment = linux_birth(descriptor)
        return moment < 0 ? nil : moment
    }

    /// The names in a folder, without `.` and `..`, unordered; nil if it cannot be read. What is not UTF-8 in them is replaced.
    package static func names(in folder: String) -> [String]? {
        (try? FolderStream(folder)).map { $0.map(\.description) }
    }
}
