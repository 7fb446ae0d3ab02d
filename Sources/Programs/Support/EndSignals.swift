import Dispatch

#if canImport(Glibc)
    import Glibc
#endif

/// SIGTERM and SIGINT, from before a program starts until it ends. A signal during the start, or just when the program
/// reports that it is ready, also ends it in an orderly way. The dispatch sources are only retained after the start.
public struct EndSignals: @unchecked Sendable {
    private let heard: AsyncStream<Void>
    private let sources: [any DispatchSourceSignal]

    /// Returns when the handlers are installed. The first signal asks the program to end; a second one ends it at once.
    public static func listen() async -> EndSignals {
        let (heard, signals) = AsyncStream<Void>.makeStream()
        let queue = DispatchQueue(label: "sallyport.signals", qos: .userInteractive)
        let count = Count()
        var sources: [any DispatchSourceSignal] = []
        for number in [SIGTERM, SIGINT] {
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                count.value += Int(source.data)
                if count.value > 1 { _exit(128 + number) }
                signals.yield()
            }
            await withCheckedContinuation { (registered: CheckedContinuation<Void, Never>) in
                source.setRegistrationHandler { registered.resume() }
                source.resume()
            }
            sources.append(source)
        }
        return EndSignals(heard: heard, sources: sources)
    }

    /// Returns when a signal has arrived.
    public func first() async {
        for await _ in heard { break }
    }

    /// Used on the signals' queue only.
    private final class Count: @unchecked Sendable {
        var value = 0
    }
}
