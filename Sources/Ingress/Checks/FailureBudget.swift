import Logging
import Metrics
import NIOCore
import Synchronization
import System

/// Limits invalid credentials and signatures, for each client and for each sandbox, over all event loops.
///
/// Credentials are checked first and only failures count, so a valid one is always accepted: codes of 60 bits and more
/// cannot be guessed, and checking them does no harm. The 32 bits of version 1 can be guessed, so while the budget is
/// used up only tokens that were verified before are checked, and new ones have to wait.
///
/// A sandbox's budget applies only to clients that have failed recently, so many guessers cannot lock out anybody else.
package final class FailureBudget: Sendable {
    package struct Limits: Hashable, Sendable {
        /// A client's burst of failures.
        package var clientBurst = 20
        /// The time until one more failure is allowed.
        package var clientInterval = Duration.seconds(1)
        /// The burst of failures at one sandbox, from all clients.
        package var sandboxBurst = 200
        package var sandboxInterval = Duration.milliseconds(100)
        /// How many clients, and how many sandboxes, are remembered.
        package var capacity = 4096

        package init() {}
    }

    enum Kind: String {
        case credential, signature
    }

    private struct State: Sendable {
        var clients: KeyedRateLimiter<ClientKey>
        var sandboxes: KeyedRateLimiter<String>
        var log: RateLimiter
    }

    private let state: Mutex<State>
    private let clock: @Sendable () -> UInt64
    private let logger: Logger

    private static let failures = Dictionary(
        uniqueKeysWithValues: [Kind.credential, .signature].map {
            ($0, Counter(label: "sallyport_ingress_failed_attempts_total", dimensions: [("kind", $0.rawValue)]))
        })
    private static let throttled = Counter(label: "sallyport_ingress_throttled_attempts_total")
    /// Lines in the log.
    private static let logRate = Rate(burst: 1, every: .seconds(1))

    /// - Parameter clock: nanoseconds of a monotonic clock.
    package init(
        _ limits: Limits = Limits(), logger: Logger,
        clock: @escaping @Sendable () -> UInt64 = { NIODeadline.now().uptimeNanoseconds }
    ) {
        state = Mutex(
            State(
                clients: KeyedRateLimiter(
                    Rate(burst: limits.clientBurst, every: limits.clientInterval), capacity: limits.capacity),
                sandboxes: KeyedRateLimiter(
                    Rate(burst: limits.sandboxBurst, every: limits.sandboxInterval), capacity: limits.capacity),
                log: RateLimiter(Self.logRate, now: clock())))
        self.logger = logger
        self.clock = clock
    }

    /// Seconds until a client may fail at a sandbox again; nil if it may now.
    func wait(_ client: String?, _ sandbox: String) -> Int? {
        let key = ClientKey(client), now = clock()
        return state.withLock { Self.wait(key, sandbox, $0, now) }
    }

    private static func wait(_ client: ClientKey, _ sandbox: String, _ state: State, _ now: UInt64) -> Int? {
        var wait = state.clients.wait(client, at: now)
        if !state.clients.isFull(client, at: now) { wait = max(wait, state.sandboxes.wait(sandbox, at: now)) }
        return wait == 0 ? nil : Int((wait + 999_999_999) / 1_000_000_000)
    }

    /// Counts a failure.
    /// - Returns: seconds to wait if the limit is exceeded.
    func fail(_ kind: Kind, _ client: String?, _ sandbox: String) -> Int? {
        let key = ClientKey(client), now = clock()
        Self.failures[kind]!.increment()
        let (wait, line) = state.withLock { state -> (Int?, Int?) in
            let wait = Self.wait(key, sandbox, state, now)
            state.clients.take(key, at: now)
            state.sandboxes.take(sandbox, at: now)
            return (wait, state.log.admit(now: now))
        }
        if wait != nil { Self.throttled.increment() }
        if let line {
            logger.warning(
                "attempt to enter a sandbox failed",
                metadata: [
                    "sandbox": "\(sandbox)", "client": "\(client ?? "local")", "wrong": "\(kind.rawValue)",
                    "throttled": "\(wait != nil)", "not-logged": "\(line)",
                ])
        }
        return wait
    }

    /// Counts a new token of version 1 that was not checked.
    func noteThrottled() { Self.throttled.increment() }
}
