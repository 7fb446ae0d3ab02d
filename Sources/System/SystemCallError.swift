#if canImport(Glibc)
    import Glibc
#endif

/// An errno.
package struct SystemCallError: Error, Hashable, Sendable, CustomStringConvertible {
    package let code: CInt

    package init(code: CInt) { self.code = code }

    /// Of the call that this thread has just made.
    package static var last: SystemCallError { SystemCallError(code: errno) }

    /// Whether a signal was all that happened.
    package var isInterruption: Bool { code == EINTR }

    package var description: String { String(cString: strerror(code)) }
}
