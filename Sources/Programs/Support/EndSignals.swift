import Dispatch

#if canImport(Glibc)
    import Glibc
#endif

/// SIGTERM and SIGINT, heard from before a program starts until it ends: one that comes while the program starts, or at
/// the moment in which it says that it is ready, ends it in order, too. Its sources are kept, and not
/// touched after the start.
public struct EndSignals: @unchecked Sendable {
    private let heard: AsyncStream<Void>
    private let sources: [any DispatchSourceSignal]

    /// Returns when the signals are heard. The first one asks the program to end; the second one ends it at once.
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

    /// Returns when one has come.
    public func first() async {
        for await _ in heard { break }
    }

    /// Touched on the queue of the signals only.
    private final class Count: @unchecked Sendable {
        var value = 0
    }
}
