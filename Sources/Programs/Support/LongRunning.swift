#if canImport(Glibc)
    import Glibc
#endif

/// Process settings that every server program needs.
package enum LongRunning {
    /// Enough for 16,384 connections with two descriptors each, and spare ones.
    private static let files: rlim_t = 1 << 16

    /// Ignores SIGPIPE, so that writing to a closed peer is an error, and raises the limit of descriptors. A shell
    /// often gives 1024, with a hard limit of 20,000, which root may exceed.
    ///
    /// Files and folders get the modes that are written where they are made. With a umask of 077, as careful administrators have it, a sandbox's
    /// users could not enter its own folders, and it had no user namespace.
    package static func prepare() {
        signal(SIGPIPE, SIG_IGN)
        umask(0o022)
        let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(kind, &limit) == 0, limit.rlim_cur < files else { return }
        var wanted = rlimit(rlim_cur: files, rlim_max: max(files, limit.rlim_max))
        if setrlimit(kind, &wanted) == 0 { return }
        wanted = rlimit(rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max)
        setrlimit(kind, &wanted)
    }
}
