#if canImport(Glibc)
    import Glibc
#endif

/// A descriptor with one owner, which closes it exactly once. Closing a number twice may close another thread's
/// descriptor.
package struct FileDescriptor: ~Copyable, Sendable {
    package let number: CInt

    /// Takes over a descriptor that a call has returned.
    /// - Throws: the call's errno if it failed.
    package init(_ result: CInt) throws(SystemCallError) {
        guard result >= 0 else { throw SystemCallError.last }
        number = result
    }

    /// open(2), close-on-exec.
    package init(opening path: String, _ flags: CInt, mode: mode_t = 0) throws(SystemCallError) {
        try self.init(open(path, flags | O_CLOEXEC, mode))
    }

    /// Passes the number to another owner.
    package consuming func release() -> CInt {
        let number = number
        discard self
        return number
    }

    deinit { close(number) }

    /// Whether something can be read, or has ended, within a time, however often a signal comes.
    package static func isReadable(_ descriptor: CInt, within milliseconds: Int) -> Bool {
        let end = SystemClock.monotonicNanoseconds() + UInt64(max(0, min(milliseconds, 1 << 40))) * 1_000_000
        while true {
            let now = SystemClock.monotonicNanoseconds()
            let left = now < end ? Int32(clamping: (end - now + 999_999) / 1_000_000) : 0
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let found = poll(&waiting, 1, left)
            guard found <= 0, now < end, found == 0 || errno == EINTR else { return found > 0 }
        }
    }
}
