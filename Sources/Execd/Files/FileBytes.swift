import HTTPServer

#if canImport(Glibc)
    import Glibc
#endif

/// A regular file, open for reading. Closed with the last reference.
final class FileBytes: Sendable {
    let path: String
    /// Its size in bytes when it was opened. Files of /proc report 0 but have content.
    let size: Int
    let version: FileVersion
    private let descriptor: CInt

    init(_ path: String) throws(FileError) {
        // Non-blocking, since a FIFO would block the thread until somebody writes.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .call("open", path) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .invalidFile("\(path) is not a regular file")
        }
        self.path = path
        self.descriptor = descriptor
        size = Int(status.st_size)
        version = FileVersion(status)
    }

    deinit { close(descriptor) }

    /// Up to `count` bytes from `offset` on; empty at the end.
    func read(at offset: Int, upTo count: Int) throws(FileError) -> [UInt8] {
        var length = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            repeat {
                length = pread(descriptor, buffer.baseAddress, count, off_t(offset))
            } while length < 0
                && errno == EINTR
            filled = max(length, 0)
        }
        guard length >= 0 else { throw .system("read \(path)", code: errno) }
        return bytes
    }

    /// Sends a part of it without reading it, until a turn is over.
    func send(_ range: Range<Int>, to output: DirectOutput) throws -> DirectOutput.Turn {
        try output.send(descriptor, range)
    }

    /// The whole file.
    /// - Throws: `FileError.invalidContent` if it is longer than `limit` bytes.
    func readAll(upTo limit: Int) throws(FileError) -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let piece = try read(at: bytes.count, upTo: max(4096, min(size, limit) - bytes.count + 1))
            if piece.isEmpty { return bytes }
            bytes += piece
            guard bytes.count <= limit else { throw .invalidContent("\(path) is larger than \(limit) bytes") }
        }
    }

    /// The next bytes of a descriptor; empty at the end, nil on an error (errno).
    static func read(_ descriptor: CInt, upTo count: Int) -> [UInt8]? {
        var length = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            repeat { length = Glibc.read(descriptor, buffer.baseAddress, count) } while length < 0 && errno == EINTR
            filled = max(length, 0)
        }
        return length < 0 ? nil : bytes
    }
}
