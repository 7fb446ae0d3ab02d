import System

#if canImport(Glibc)
    import Glibc
#endif

/// The signals of init. They are blocked and waited for; what it starts has them unblocked.
struct InitSignals {
    /// Those that are passed on to the program's group.
    static let forwarded: [CInt] = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH]
    /// What the API sends when the gated start has been told (`GatedStart`). Whoever does not wait for it ignores it.
    static let initialised = SIGURG

    private var set = sigset_t()

    init() {
        sigemptyset(&set)
        for number in Self.forwarded + [SIGCHLD, Self.initialised] { sigaddset(&set, number) }
        sigprocmask(SIG_BLOCK, &set, nil)
    }

    /// Waits for one.
    /// - Parameter milliseconds: nil to wait for ever.
    /// - Returns: nil where none came in time.
    func next(within milliseconds: Int? = nil) -> CInt? {
        var set = set
        guard let milliseconds else {
            var number: CInt = 0
            return sigwait(&set, &number) == 0 ? number : nil
        }
        var time = timespec(tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000)
        let number = sigtimedwait(&set, nil, &time)
        return number > 0 ? number : nil
    }

    /// The next child that has ended; nil where none has.
    func reap() -> (process: pid_t, end: ProcessExit)? {
        var state: CInt = 0
        let process = waitpid(-1, &state, WNOHANG)
        return process > 0 ? (process, ProcessExit(waited: state)) : nil
    }
}
