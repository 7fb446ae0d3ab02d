#if canImport(Glibc)
    import Glibc
#endif

/// Files of a sandbox. They need not outlive the machine, whose restart ends every sandbox: Foundation's `write(to:)` would
/// wait for the disk at each.
enum QuickFile {
    static func write(_ bytes: [UInt8], to path: String, mode: mode_t) throws(RuntimeError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw failure(path) }
        defer { close(descriptor) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw failure(path) }
            rest = rest.dropFirst(count)
        }
    }

    /// The whole file; nil where it cannot be read. Files of /proc have no size, and Foundation's `Data(contentsOf:)` takes
    /// the first page of one for all of it.
    static func read(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = [], chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
        }
    }

    private static func failure(_ path: String) -> RuntimeError {
        .system(action: "writing \(path)", reason: String(cString: strerror(errno)))
    }
}
