import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// SIGTERM and SIGINT, which ask a program to end. Heard from before it starts until it ends, so that one that comes
/// during the start, or just when the program reports that it is ready, also ends it in an orderly way.
package struct EndSignals: Sendable {
    /// What the handler of a signal may touch: there is one a process.
    private static let heard = Semaphore()
    private static let last = Atomic<CInt>(SIGTERM)

    private let first: AsyncStream<Void>

    /// Installs the handlers. Linux delivers to the first process of a container only signals that have one.
    package static func install() {
        // Made before a handler looks at it.
        _ = heard
        var all = sigset_t()
        sigemptyset(&all)
        for number in [SIGTERM, SIGINT] {
            signal(number) { number in
                EndSignals.last.store(number, ordering: .relaxed)
                EndSignals.heard.signal()
            }
            sigaddset(&all, number)
        }
        // They may be blocked, which is inherited from the parent.
        pthread_sigmask(SIG_UNBLOCK, &all, nil)
    }

    /// Waits for the next signal, on a thread that has nothing else to do.
    package static func waitForNext() { heard.wait() }

    /// Returns when the handlers are installed. The first signal asks the program to end; a second one ends it at once.
    /// - Throws: when there is no thread to wait for them.
    package static func listen() throws(SystemCallError) -> EndSignals {
        let (first, signals) = AsyncStream<Void>.makeStream()
        try DetachedThread.start {
            waitForNext()
            signals.yield()
            waitForNext()
            _exit(128 + last.load(ordering: .relaxed))
        }
        install()
        return EndSignals(first: first)
    }

    /// Returns when a signal has arrived.
    package func wait() async { for await _ in first { break } }
}
