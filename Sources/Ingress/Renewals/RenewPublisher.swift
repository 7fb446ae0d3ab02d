import FoundationEssentials
import Logging
import Metrics
import NIOCore
import Redis
import Synchronization
import System

/// Reports to the control plane, through a Redis list, which sandboxes are used (OSEP-0009). No request waits for it.
/// What cannot be sent is dropped; the next access after the interval reports it again.
package final class RenewPublisher: RenewalSink {
    package struct Settings: Sendable {
        package var address: RedisAddress
        package var queue = RenewIntent.defaultQueue
        /// The most intents in the list; 0 for no limit. The oldest are dropped.
        package var queueLimit = 0
        /// The least time between two intents for one sandbox.
        package var interval = Duration.seconds(60)

        package init(address: RedisAddress) { self.address = address }
    }

    private let settings: Settings
    private let logger: Logger
    private let clock: @Sendable () -> UInt64
    private let throttle: Mutex<KeyedRateLimiter<String>>
    private let waiting: AsyncStream<RenewIntent>
    private let asking: AsyncStream<RenewIntent>.Continuation

    private static let published = Counter(label: "sallyport_ingress_renew_intents_total")
    private static let dropped = Counter(label: "sallyport_ingress_renew_intents_dropped_total")
    private static let capacity = 1024
    private static let remembered = 65536
    /// A connection is closed after being idle this long; the next intent opens another.
    private static let silence = TimeAmount.seconds(120)

    /// - Parameter clock: nanoseconds of a monotonic clock.
    package init(
        _ settings: Settings, logger: Logger,
        clock: @escaping @Sendable () -> UInt64 = { NIODeadline.now().uptimeNanoseconds }
    ) {
        self.settings = settings
        self.logger = logger
        self.clock = clock
        throttle = Mutex(
            KeyedRateLimiter(Rate(burst: 1, every: settings.interval), capacity: Self.remembered))
        (waiting, asking) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.capacity))
    }

    package func accessed(_ sandbox: String) {
        let now = clock()
        guard throttle.withLock({ $0.take(sandbox, at: now) }) else { return }
        if case .dropped = asking.yield(RenewIntent(sandbox: sandbox)) { Self.dropped.increment() }
    }

    /// Publishes until the task is cancelled. Connects when there is something to send, and again after a failure.
    package func run() async {
        var backOff = BackOff.redis
        var intents = waiting.makeAsyncIterator()
        var next: RenewIntent?
        var hasFailed = false
        while !Task.isCancelled {
            if next == nil { next = await intents.next() }
            guard next != nil else { return }
            do {
                try await RedisSession.with(settings.address, silence: Self.silence) { session in
                    while let intent = next {
                        try await session.send(["LPUSH", settings.queue, intent.json])
                        next = nil
                        if settings.queueLimit > 0 {
                            try await session.send(["LTRIM", settings.queue, "0", String(settings.queueLimit - 1)])
                        }
                        hasFailed = false
                        backOff.reset()
                        Self.published.increment()
                        next = await intents.next()
                    }
                }
            } catch {
                // An idle connection may have been closed by the server; that alone is no reason to drop anything.
                guard hasFailed else {
                    hasFailed = true
                    continue
                }
                if next != nil { Self.dropped.increment() }
                next = nil
                logger.warning(
                    "a renewal could not be sent",
                    metadata: ["redis": "\(settings.address)", "error": "\(error)"])
                try? await Task.sleep(for: backOff.spread())
            }
        }
    }
}
