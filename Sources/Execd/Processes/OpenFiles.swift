import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// How many descriptors execd may have open: a running command takes four or five, and containers often start with 1024.
/// What execd starts gets the number that execd itself started with, since programs that use select(2) break with more.
enum OpenFiles {
    private static let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    private static let most: rlim_t = 1 << 16
    private static let before = Mutex<rlim_t?>(nil)

    /// For other processes; nil where execd's own number is theirs.
    static var forOthers: UInt64? { before.withLock { $0.map(UInt64.init) } }

    /// Takes as many as it is allowed, within reason.
    static func raise() {
        var limit = rlimit()
        guard getrlimit(kind, &limit) == 0, limit.rlim_cur < min(limit.rlim_max, most) else { return }
        let earlier = limit.rlim_cur
        limit.rlim_cur = min(limit.rlim_max, most)
        guard setrlimit(kind, &limit) == 0 else { return }
        before.withLock { $0 = $0 ?? earlier }
    }
}
