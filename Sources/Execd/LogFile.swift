import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The API's log in a file. When it has grown too large, it is set aside as `.1` in the place of the one before, and another is begun:
/// it takes twice the limit of the sandbox's disk at the most.
final class LogFile: Sendable {
    static let maxBytes = 16 << 20

    private struct State: ~Copyable {
        var file: FileDescriptor
        /// Of a regular file; else nil, and it has no bound.
        var size: Int?
    }

    private let path: String
    private let limit: Int
    private let state: Mutex<State>

    /// - Parameter limit: bytes.
    init(_ path: String, limit: Int = maxBytes) throws(SystemCallError) {
        (self.path, self.limit) = (path, limit)
        state = Mutex(try Self.open(path))
    }

    /// Writes a line. What the disk does not take is lost.
    func write(_ line: [UInt8]) {
        state.withLock { state in
            if let size = state.size, size > 0, size + line.count > limit { setAside(&state) }
            let count = line.withUnsafeBytes { Glibc.write(state.file.number, $0.baseAddress, $0.count) }
            if count > 0 { state.size? += count }
        }
    }

    private func setAside(_ state: inout State) {
        do throws(SystemCallError) {
            guard rename(path, path + ".1") == 0 else { throw .last }
            state = try Self.open(path)
        } catch {
            // Its folder takes no other file: what comes is worth more than what was.
            if ftruncate(state.file.number, 0) == 0 { state.size = 0 }
        }
    }

    private static func open(_ path: String) throws(SystemCallError) -> State {
        let file = try FileDescriptor(opening: path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NOCTTY, mode: 0o600)
        var status = stat()
        guard fstat(file.number, &status) == 0 else { throw .last }
        let isRegular = status.st_mode & S_IFMT == S_IFREG
        return State(file: file, size: isRegular ? Int(status.st_size) : nil)
    }
}
