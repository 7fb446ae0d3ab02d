#if canImport(Glibc)
    import Glibc
#endif

/// What a sandbox's first process prints. It is a file of the sandbox's own disk: a program inside can open it anew
/// (`/proc/1/fd/1`) and write what and where it likes, so that nothing is believed of its size.
struct OutputFile: Hashable, Sendable {
    let path: String
    /// What was before, from the last time that the file had grown too large.
    var earlier: String { path + ".1" }

    /// For the OCI runtime to write to; made when missing.
    func open() throws(RuntimeError) -> CInt {
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw .system(action: "opening \(path)", reason: String(cString: strerror(errno)))
        }
        return descriptor
    }

    /// The last bytes of it, however much there is.
    func tail(bytes: Int = 2000) -> String {
        let last = Self.tail(path, bytes)
        let before = last.count < bytes ? Self.tail(earlier, bytes - last.count) : []
        return String(decoding: before + last, as: UTF8.self)
    }

    /// Never waits: a program inside may hold a lease on the file (fcntl(2), F_SETLEASE), for which the kernel would have
    /// whoever opens it wait 45 seconds.
    private static let looking = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK

    /// Where the file holds more than `limit` bytes, puts the last half of that aside and empties it. Between two calls it
    /// can grow to the sandbox's disk limit, and no further.
    func rotate(limit: Int64) {
        let descriptor = Glibc.open(path, O_RDWR | Self.looking)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_size > limit else { return }
        let kept = Self.tail(descriptor, Int(limit / 2))
        // Emptied first: the disk may be full because of it.
        guard ftruncate(descriptor, 0) == 0 else { return }
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
