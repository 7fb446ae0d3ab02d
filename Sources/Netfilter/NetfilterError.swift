#if canImport(Glibc)
    import Glibc
#endif

/// Why an operation failed in the kernel or before it.
public enum NetfilterError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A system call or a netlink request failed: what was attempted, the errno, and the kernel's own words if any.
    case refused(action: String, code: Int32, explanation: String?)
    /// The kernel's answer could not be read, so it is unknown whether the request was performed.
    case unconfirmed(action: String)
    /// A value that does not fit a netlink message.
    case invalid(String)

    static func last(_ action: String) -> NetfilterError { .refused(action: action, code: errno, explanation: nil) }

    /// The errno, if there is one.
    public var code: Int32? { if case .refused(_, let code, _) = self { code } else { nil } }
    public var isNotFound: Bool { code == ENOENT || code == ESRCH || code == ENODEV || code == EADDRNOTAVAIL }
    public var isExisting: Bool { code == EEXIST }

    public var description: String {
        switch self {
        case .refused(let action, let code, let explanation):
            "\(action): \(String(cString: strerror(code)))" + (explanation.map { " (\($0))" } ?? "")
        case .unconfirmed(let action): "\(action): the kernel's answer was lost"
        case .invalid(let reason): reason
        }
    }
}
