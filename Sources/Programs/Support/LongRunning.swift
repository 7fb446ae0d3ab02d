#if canImport(Glibc)
    import Glibc
#endif

/// What every program that serves needs of its process.
public enum LongRunning {
    /// What 16,384 connections need, two descriptors each, and room beside them.
    private static let files: rlim_t = 1 << 16

    /// A peer that has gone is an error of the write, and no signal. A shell gives 1024 descriptors, and often no more
    /// than 20,000 may be asked for: root may go beyond.
    public static func prepare() {
        signal(SIGPIPE, SIG_IGN)
        let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(kind, &limit) == 0, limit.rlim_cur < files else { return }
        var wanted = rlimit(rlim_cur: files, rlim_max: max(files, limit.rlim_max))
        if setrlimit(kind, &wanted) == 0 { return }
        wanted = rlimit(rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max)
        setrlimit(kind, &wanted)
    }
}
