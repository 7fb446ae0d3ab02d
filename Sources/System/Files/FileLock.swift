#if canImport(Glibc)
    import Glibc
#endif

/// A lock of a whole file for one program (flock(2)). It goes with the last descriptor of it.
package enum FileLock {
    /// A child of the last holder that has not come to its exec yet has the descriptor, too, and with it the lock.
    private static let tries = 20, pause: UInt32 = 5_000

    /// Waits a tenth of a second at most.
    /// - Returns: whether the lock is held; if not, `errno` says why: EWOULDBLOCK where another program has it.
    package static func take(_ descriptor: CInt) -> Bool {
        for _ in 1..<tries {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
            guard errno == EWOULDBLOCK else { return false }
            usleep(pause)
        }
        return flock(descriptor, LOCK_EX | LOCK_NB) == 0
    }
}
