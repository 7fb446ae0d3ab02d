import Synchronization

/// Bytes that many share: of memory for what terminals keep, of the disk for what commands print. Without a limit for all, programs
/// that print much in many places would fill the memory that execd's own control group has (docs/isolation.md), or the disk.
final class ByteBudget: Sendable {
    private let left: Mutex<Int>

    init(_ bytes: Int) { left = Mutex(bytes) }

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
