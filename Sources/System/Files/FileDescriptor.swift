#if canImport(Glibc)
    import Glibc
#endif

/// A descriptor with one owner, who closes it once. A number that is closed twice is somebody else's the second time.
package struct FileDescriptor: ~Copyable, Sendable {
    package let number: CInt

    /// Takes over what a call has returned.
    /// - Throws: the call's errno where it has returned none.
    package init(_ result: CInt) throws(SystemCallError) {
        guard result >= 0 else { throw SystemCallError.last }
        number = result
    }

    /// open(2), close-on-exec.
    package init(opening path: String, _ flags: CInt, mode: mode_t = 0) throws(SystemCallError) {
        try self.init(open(path, flags | O_CLOEXEC, mode))
    }

    /// Hands the number to another owner.
    package consuming func release() -> CInt {
        let number = number
        discard self
        return number
    }

    deinit { close(number) }
}
