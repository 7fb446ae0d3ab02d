#if canImport(Glibc)
    import Glibc
#endif

/// The terminal that a program was started at, if any.
package struct StartTerminal: Sendable {
    private let isThere = isatty(STDIN_FILENO) == 1

    package init() {}

    /// Whether there was one that is closed now. The kernel says so with SIGHUP, which otherwise asks a program to read its
    /// configuration again.
    package var isGone: Bool {
        var settings = termios()
        return isThere && tcgetattr(STDIN_FILENO, &settings) != 0
    }
}

/// SIGHUP, which asks a program to read its configuration again.
package enum HangUps {
    /// What the handler of a signal may touch: there is one a process.
    private static let heard = Semaphore()

    /// Calls `body` for each, on a thread of its own. Where the terminal has gone, the program is asked to end.
    /// - Throws: when there is no thread.
    package static func follow(_ body: @escaping @Sendable () -> Void) throws(SystemCallError) {
        // Made before a handler looks at it.
        _ = heard
        let terminal = StartTerminal()
        try DetachedThread.start {
            while true {
                heard.wait()
                if terminal.isGone { kill(getpid(), SIGTERM) } else { body() }
            }
        }
        // A handler, since what ignores a signal passes that on to the programs that it starts.
        signal(SIGHUP) { _ in HangUps.heard.signal() }
        var all = sigset_t()
        sigemptyset(&all)
        sigaddset(&all, SIGHUP)
        pthread_sigmask(SIG_UNBLOCK, &all, nil)
    }
}
