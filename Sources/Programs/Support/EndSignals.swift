import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// SIGTERM and SIGINT, from before a program starts until it ends. A signal during the start, or just when the program
/// reports that it is ready, also ends it in an orderly way.
public struct EndSignals: Sendable {
    /// What the handler of a signal may touch: there is one a process.
    private static let heard = Semaphore()
    private static let last = Atomic<CInt>(SIGTERM)

    private let first: AsyncStream<Void>

    /// Returns when the handlers are installed. The first signal asks the program to end; a second one ends it at once.
    /// - Throws: `SystemCallError` when there is no thread to wait for them.
    public static func listen() throws -> EndSignals {
        let (first, signals) = AsyncStream<Void>.makeStream()
        // Made before a handler looks at it.
        let heard = Self.heard
        try DetachedThread.start {
            heard.wait()
            signals.yield()
            heard.wait()
            _exit(128 + last.load(ordering: .relaxed))
        }
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
        return EndSignals(first: first)
    }

    /// Returns when a signal has arrived.
    public func wait() async { for await _ in first { break } }
}
