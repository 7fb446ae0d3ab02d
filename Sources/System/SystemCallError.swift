#if canImport(Glibc)
    import Glibc
#endif

/// An errno.
package struct SystemCallError: Error, Hashable, Sendable, CustomStringConvertible {
    package let code: CInt

    package init(code: CInt) { self.code = code }

    /// The errno of this thread's last call.
    package static var last: SystemCallError { SystemCallError(code: errno) }

    /// Whether the call was only interrupted by a signal.
    package var isInterruption: Bool { code == EINTR }

    package var description: String { String(cString: strerror(code)) }
}
