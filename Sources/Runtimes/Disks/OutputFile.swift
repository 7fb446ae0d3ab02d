#if canImport(Glibc)
    import Glibc
#endif

/// The output of a sandbox's first process, in a file on the sandbox's own disk. A program inside can open it
/// (`/proc/1/fd/1`) and write anything anywhere, so its size is not trusted.
struct OutputFile: Hashable, Sendable {
    let path: String
    /// The older output, set aside when the file had grown too large.
    var earlier: String { path + ".1" }

    /// Opens it for the OCI runtime to write to, and creates it if missing.
    func open() throws(RuntimeError) -> CInt {
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw .system(action: "opening \(path)", reason: String(cString: strerror(errno)))
        }
        return descriptor
    }

    /// The last bytes of the output.
    func tail(bytes: Int = 2000) -> String {
        let last = Self.tail(path, bytes)
        let before = last.count < bytes ? Self.tail(earlier, bytes - last.count) : []
        return String(decoding: before + last, as: UTF8.self)
    }

    /// Opens without waiting. A program inside may hold a lease on the file (fcntl(2), F_SETLEASE), for which the
    /// kernel would otherwise block an open for 45 seconds.
    private static let looking = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK

    /// Bytes of the present file; 0 if there is none.
    var size: Int64 {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG ? Int64(status.st_size) : 0
    }

    /// What the file was when it was looked at.
    struct Look: Hashable {
        var size: Int64
        /// Whether it is empty now.
        var isCut: Bool
    }

    /// If the file is longer than `limit` bytes, sets the last half of that aside and truncates it. Between two calls
    /// it can grow up to the sandbox's disk limit.
    /// - Returns: nil if it could not be looked at.
    @discardableResult
    func rotate(limit: Int64) -> Look? {
        let descriptor = Glibc.open(path, O_RDWR | Self.looking)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        let size = Int64(status.st_size)
        guard size > limit else { return Look(size: size, isCut: false) }
        let kept = Self.tail(descriptor, Int(limit / 2))
        // Truncate first, because the file may be what fills the disk.
        guard ftruncate(descriptor, 0) == 0 else { return Look(size: size, isCut: false) }
        setAside(kept)
        return Look(size: size, isCut: true)
    }

    private func setAside(_ kept: [UInt8]) {
        let aside = Glibc.open(earlier, O_WRONLY | O_CREAT | O_TRUNC | Self.looking, 0o600)
        guard aside >= 0 else { return }
        defer { close(aside) }
        var rest = kept[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(aside, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    private static func tail(_ path: String, _ bytes: Int) -> [UInt8] {
        let descriptor = Glibc.open(path, O_RDONLY | looking)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        return tail(descriptor, bytes)
    }

    private static func tail(_ descriptor: CInt, _ bytes: Int) -> [UInt8] {
        let size = max(0, lseek(descriptor, 0, SEEK_END))
        var tail = [UInt8](repeating: 0, count: min(max(0, bytes), Int(size)))
        let count = pread(descriptor, &tail, tail.count, size - off_t(tail.count))
        return Array(tail.prefix(max(0, count)))
    }
}
