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
}
