#if canImport(Glibc)
    import Glibc
#endif

/// Bytes that wait until a process, or its terminal, reads its input. A value: who writes is told how much went.
struct InputQueue {
    enum Outcome: Hashable {
        /// All has been written.
        case empty
        /// The process has to read before more can be written.
        case waits
        /// Nobody will ever read it.
        case refused
    }

    private var waiting: [UInt8] = []
    /// Those at the front of `waiting` that are written already.
    private var written = 0

    var isEmpty: Bool { waiting.isEmpty }

    mutating func append(_ bytes: [UInt8]) {
        if isEmpty { waiting = bytes } else { waiting += bytes }
    }

    /// - Returns: how many bytes were dropped.
    mutating func discard() -> Int {
        defer { (waiting, written) = ([], 0) }
        return waiting.count - written
    }

    /// Writes what can be written without waiting.
    /// - Parameter write: as write(2) on a descriptor that does not block: a count, or -1 and errno.
    mutating func flush(_ write: (UnsafeRawBufferPointer) -> Int) -> (taken: Int, outcome: Outcome) {
        var taken = 0
        while written < waiting.count {
            let count = waiting.withUnsafeBytes { write(UnsafeRawBufferPointer(rebasing: $0[written...])) }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno != EAGAIN {
                return (taken + discard(), .refused)
            }
            guard count > 0 else {
                compact()
                return (taken, .waits)
            }
            taken += count
            written += count
        }
        (waiting, written) = ([], 0)
        return (taken, .empty)
    }

    private mutating func compact() {
        guard written > 64 << 10 || written > waiting.count / 2 else { return }
        waiting.removeFirst(written)
        written = 0
    }
}
