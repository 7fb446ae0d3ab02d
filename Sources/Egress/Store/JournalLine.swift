import Glibc

/// A line at the end of a journal that is not in force yet, and is removed unless it is published.
struct JournalLine: ~Copyable {
    private let descriptor: CInt
    private let path: String
    private let start: Int
    private let outlivesMachine: Bool
    private let published: @Sendable (_ length: Int) -> Void
    private let length: Int
    private var isPublished = false

    /// - Parameter start: where the lines in force end; the rest is truncated.
    /// - Parameter published: called with the length of the journal afterwards.
    init(
        _ line: [UInt8], at start: Int, of path: String, outlivesMachine: Bool,
        published: @escaping @Sendable (_ length: Int) -> Void
    ) throws(EgressError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw AtomicFile.failure(path) }
        do throws(EgressError) {
            try Self.write(line, at: start, to: descriptor, path)
            if outlivesMachine, fsync(descriptor) != 0 { throw AtomicFile.failure(path) }
        } catch {
            ftruncate(descriptor, start)
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        self.path = path
        self.start = start
        self.outlivesMachine = outlivesMachine
        self.published = published
        length = start + line.count
    }

    private static func write(
        _ line: [UInt8], at start: Int, to descriptor: CInt, _ path: String
    ) throws(EgressError) {
        guard ftruncate(descriptor, start) == 0 else { throw AtomicFile.failure(path) }
        var written = 0
        while written < line.count {
            let count = line.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress! + written, line.count - written, start + written)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw AtomicFile.failure(path) }
            written += count
        }
    }

    /// Overwrites a single byte, which needs no disk space.
    consuming func publish() throws(EgressError) {
        var mark = Journal.committed
        guard pwrite(descriptor, &mark, 1, start) == 1, !outlivesMachine || fsync(descriptor) == 0 else {
            throw AtomicFile.failure(path)
        }
        isPublished = true
        published(length)
    }

    deinit {
        if !isPublished { ftruncate(descriptor, start) }
        close(descriptor)
    }
}
