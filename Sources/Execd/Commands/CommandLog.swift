import CLinux
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The output of a background command: its last `maxBytes`, in a file without a name, which goes with its last reference.
///
/// Written by threads of its own, since a disk may be slow, and the loop that reads all commands' output must not wait for it.
final class CommandLog: Sendable {
    static let maxBytes = 32 << 20
    /// Of the disk, for all commands together.
    static let disk = ByteBudget(512 << 20)

    private struct State {
        var ring: LogRing
        /// What is on its way to the file.
        var flying: [UInt8] = []
        var waiting: [UInt8] = []
        var isWriting = false

        var end: Int { ring.end + flying.count + waiting.count }
    }

    private static let threads = WorkerPool(maxThreads: 2)

    private let file: FileDescriptor
    private let budget: ByteBudget
    private let state: Mutex<State>
    /// Held while the file is read or written; taken before `state`.
    private let access = Mutex(())

    /// - Throws: the errno of the last folder that was tried.
    init(folders: [String] = CommandLog.folders, maxBytes: Int = CommandLog.maxBytes, budget: ByteBudget = disk)
        throws(SystemCallError)
    {
        file = try Self.file(in: folders)
        self.budget = budget
        state = Mutex(State(ring: LogRing(maxBytes: maxBytes)))
    }

    deinit { budget.give(state.withLock { $0.ring.granted }) }

    /// Where files of a moment go.
    static var folders: [String] {
        (getenv("TMPDIR").map { [String(cString: $0)] } ?? []) + ["/tmp", "/var/tmp", "/dev/shm"]
    }

    private static func file(in folders: [String]) throws(SystemCallError) -> FileDescriptor {
        var failure = SystemCallError(code: ENOENT)
        for folder in folders {
            do throws(SystemCallError) {
                let unnamed = linux_unnamed_file(folder)
                if unnamed >= 0 { return try FileDescriptor(unnamed) }
                // Where a file needs a name, it has it for a moment.
                let path = "\(folder)/.execd-log-\(String(UInt64.random(in: 0 ... .max), radix: 16))"
                let named = try FileDescriptor(opening: path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
                unlink(path)
                return named
            } catch { failure = error }
        }
        throw failure
    }

    /// The offset behind the last byte.
    var end: Int { state.withLock { $0.end } }

    /// Takes more output; never waits.
    /// - Parameter written: called with the number of bytes when they are in the file, or lost because it is full.
    func append(_ bytes: [UInt8], written: @escaping @Sendable (Int) -> Void) {
        let isFirst = state.withLock { state in
            state.waiting += bytes
            defer { state.isWriting = true }
            return !state.isWriting
        }
        if isFirst { Self.threads.submit { self.write(written) } }
    }

    private func write(_ written: @Sendable (Int) -> Void) {
        while true {
            let bytes: [UInt8] = state.withLock { state in
                (state.flying, state.waiting) = (state.waiting, [])
                state.isWriting = !state.flying.isEmpty
                return state.flying
            }
            guard !bytes.isEmpty else { return }
            access.withLock { _ in
                var ring = state.withLock { $0.ring }
                let before = ring
                if !put(bytes, &ring) {
                    let granted = ring.granted - before.granted
                    ring = before
                    budget.give(granted)
                    if !ring.stopGrowing() || !put(bytes, &ring) {
                        ring = before
                        ring.lose(bytes.count)
                    }
                }
                let next = ring
                state.withLock { state in
                    state.ring = next
                    state.flying = []
                }
            }
            written(bytes.count)
        }
    }

    private func put(_ bytes: [UInt8], _ ring: inout LogRing) -> Bool {
        let (skipped, pieces) = ring.append(bytes.count, grant: budget.take)
        var rest = bytes[skipped...]
        for piece in pieces {
            guard Self.write(rest.prefix(piece.count), to: file.number, at: piece.place) else { return false }
            rest = rest.dropFirst(piece.count)
        }
        return true
    }

    private static func write(_ bytes: ArraySlice<UInt8>, to file: CInt, at place: Int) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                let count = pwrite(file, buffer.baseAddress! + done, buffer.count - done, off_t(place + done))
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return false }
                done += count
            }
            return true
        }
    }

    /// The first bytes between two offsets, without those that are not kept any more.
    /// - Returns: the bytes, empty if there are none, and the offset behind them.
    func read(_ range: Range<Int>, upTo count: Int) -> (bytes: [UInt8], end: Int) {
        access.withLock { _ in
            let (ring, tail) = state.withLock { ($0.ring, $0.flying + $0.waiting) }
            let limit = min(range.upperBound, ring.end + tail.count)
            let start = min(max(range.lowerBound, ring.start), limit)
            let end = start + min(count, limit - start)
            var bytes: [UInt8] = []
            if start < ring.end {
                for piece in ring.pieces(start..<min(end, ring.end)) { bytes += Self.read(file.number, piece) }
            }
            if end > ring.end { bytes += tail[(max(start, ring.end) - ring.end)..<(end - ring.end)] }
            return (bytes, end)
        }
    }

    /// What cannot be read any more is zeros, so that offsets stay what they are.
    private static func read(_ file: CInt, _ piece: LogRing.Piece) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: piece.count), done = 0
        while done < piece.count {
            let count = bytes.withUnsafeMutableBytes {
                pread(file, $0.baseAddress! + done, piece.count - done, off_t(piece.place + done))
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            done += count
        }
        return bytes
    }
}
