import Logging
import Metrics
import NIOConcurrencyHelpers
import NIOCore

/// How many untrue credentials and signatures are put up with, from a client and for a sandbox, by all event loops
/// together.
///
/// What is presented is checked first and only failures count, so that who holds something true always enters: codes of 60
/// bits and more cannot be guessed, and checking them does no harm. Version 1's 32 bits can be: there only a token that has
/// been verified before is looked at while the budget is used up, and a new one waits until a failure is paid for.
///
/// A sandbox's budget counts only against clients that have failed lately: a crowd of guessers shuts out no one else.
public final class FailureBudget: Sendable {
    public struct Limits: Hashable, Sendable {
        /// Failures of one client at once.
        public var clientBurst = 20
        /// Until one more is put up with.
        public var clientInterval = Duration.seconds(1)
        /// Failures at one sandbox at once, whoever makes them.
        public var sandboxBurst = 200
        public var sandboxInterval = Duration.milliseconds(100)
        /// Clients and sandboxes that are remembered, each.
        public var capacity = 4096

        public init() {}
    }

    enum Kind: String {
        case credential, signature
    }

    private struct State: Sendable {
        var clients: Allowances<ClientKey>
        var sandboxes: Allowances<String>
        var quietUntil: UInt64 = 0
        var unlogged = 0
    }

    private let state: NIOLockedValueBox<State>
    private let clock: @Sendable () -> UInt64
    private let logger: Logger

    private static let failures = Dictionary(
        uniqueKeysWithValues: [Kind.credential, .signature].map {
            ($0, Counter(label: "sallyport_ingress_failed_attempts_total", dimensions: [("kind", $0.rawValue)]))
        })
    private static let throttled = Counter(label: "sallyport_ingress_throttled_attempts_total")
    /// Between two lines in the log.
    private static let logInterval: UInt64 = 1_000_000_000

    /// - Parameter clock: nanoseconds of a steady clock.
    public init(
        _ limits: Limits = Limits(), logger: Logger,
        clock: @escaping @Sendable () -> UInt64 = { NIODeadline.now().uptimeNanoseconds }
    ) {
        state = NIOLockedValueBox(
            State(
                clients: Allowances(
                    burst: limits.clientBurst, interval: limits.clientInterval, capacity: limits.capacity),
                sandboxes: Allowances(
                    burst: limits.sandboxBurst, interval: limits.sandboxInterval, capacity: limits.capacity)))
        self.logger = logger
        self.clock = clock
    }

    /// Seconds until a client may fail at a sandbox again; nil where it may now.
    func wait(_ client: String?, _ sandbox: String) -> Int? {
        let key = ClientKey(client), now = clock()
        return state.withLockedValue { Self.wait(key, sandbox, $0, now) }
    }

    private static func wait(_ client: ClientKey, _ sandbox: String, _ state: State, _ now: UInt64) -> Int? {
        var wait = state.clients.wait(client, at: now)
        if !state.clients.isClean(client, at: now) { wait = max(wait, state.sandboxes.wait(sandbox, at: now)) }
        return wait == 0 ? nil : Int((wait + 999_999_999) / 1_000_000_000)
    }

    /// Counts a failure.
    /// - Returns: seconds to wait, where it is one more than is put up with.
    func fail(_ kind: Kind, _ client: String?, _ sandbox: String) -> Int? {
        let key = ClientKey(client), now = clock()
        Self.failures[kind]!.increment()
        let (wait, line) = state.withLockedValue { state -> (Int?, Int?) in
            let wait = Self.wait(key, sandbox, state, now)
            state.clients.charge(key, at: now)
            state.sandboxes.charge(sandbox, at: now)
            guard now >= state.quietUntil else {
                state.unlogged += 1
                return (wait, nil)
            }
            state.quietUntil = now + Self.logInterval
            defer { state.unlogged = 0 }
            return (wait, state.unlogged)
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

    /// A new token of version 1 was not looked at.
    func noteThrottled() { Self.throttled.increment() }
}
