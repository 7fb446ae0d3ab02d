import Glibc
import System

/// A line at the end of a journal that is not in force yet, and is removed unless it is published.
package struct JournalLine: ~Copyable {
    private let file: FileDescriptor
    private let path: String
    private let start: Int
    private let published: @Sendable (_ length: Int) -> Void
    private let length: Int
    private var isPublished = false

    /// - Parameter start: where the lines in force end; the rest is truncated.
    /// - Parameter published: called with the length of the journal afterwards.
    init(
        _ line: [UInt8], at start: Int, of path: String,
        published: @escaping @Sendable (_ length: Int) -> Void
    ) throws(EgressError) {
        do throws(SystemCallError) {
            let file = try FileDescriptor(opening: path, O_WRONLY | O_CREAT | O_NOFOLLOW, mode: 0o600)
            do throws(SystemCallError) {
                try Self.write(line, at: start, to: file.number)
            } catch {
                ftruncate(file.number, start)
                throw error
            }
            self.file = file
        } catch {
            throw .storage(path, error)
        }
        self.path = path
        self.start = start
        self.published = published
        length = start + line.count
    }

    private static func write(_ line: [UInt8], at start: Int, to descriptor: CInt) throws(SystemCallError) {
        guard ftruncate(descriptor, start) == 0 else { throw .last }
        var written = 0
        while written < line.count {
            let count = line.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress! + written, line.count - written, start + written)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw .last }
            written += count
        }
    }

    /// Overwrites a single byte, which needs no disk space.
    consuming func publish() throws(EgressError) {
        var mark = Journal.committed
        guard pwrite(file.number, &mark, 1, start) == 1 else { throw .storage(path, .last) }
        isPublished = true
        published(length)
    }

    deinit {
        if !isPublished { ftruncate(file.number, start) }
    }
}
