import Synchronization

/// Memory that all terminals share for output that is kept. Without a limit for all, programs that print much in many
/// terminals would fill the memory that execd's own control group has (docs/isolation.md), and end execd.
final class OutputMemory: Sendable {
    static let maxBytes = 8 << 20

    private let left: Mutex<Int>

    init(maxBytes: Int = OutputMemory.maxBytes) { left = Mutex(maxBytes) }

    /// - Returns: whether there are so many bytes left, which are then the caller's.
    func take(_ bytes: Int) -> Bool {
        left.withLock { left in
            guard bytes <= left else { return false }
            left -= bytes
            return true
        }
    }

    func give(_ bytes: Int) { left.withLock { $0 += bytes } }
}
