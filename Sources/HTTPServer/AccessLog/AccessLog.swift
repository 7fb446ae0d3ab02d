import Logging
import Synchronization
import System

/// A line in the log for each request, or for each that failed. It goes where all lines go, whatever `log.level` is.
///
/// Strangers cannot fill a disk with it: their lines have a rate of their own, and so have errors where only those are wanted, each
/// sandbox's one and all together another, so that no sandbox pushes out what is said of others. Lines beyond it are left out, and
/// the next one says how many.
package final class AccessLog: Sendable {
    private struct Share {
        /// By sandbox; what is of none has one, too.
        var each: KeyedRateLimiter<String>
        var all: RateLimiter
        var leftOut = 0

        /// Sandboxes that are told apart at a time.
        private static let remembered = 4096

        /// All together have four times what one has.
        init(burst: Int, perSecond: Int, now: UInt64) {
            each = KeyedRateLimiter(Rate(burst: burst, perSecond: perSecond), capacity: Self.remembered)
            all = RateLimiter(Rate(burst: 4 * burst, perSecond: 4 * perSecond), now: now)
        }

        mutating func admit(_ sandbox: String, now: UInt64) -> Int? {
            guard each.take(sandbox, at: now), all.take(now: now) else {
                leftOut += 1
                return nil
            }
            defer { leftOut = 0 }
            return leftOut
        }
    }

    private struct Rates {
        var failures: Share
        var strangers: Share
    }

    private let logger: Logger
    private let modeNumber: Atomic<Int>
    private let rates: Mutex<Rates>
    private let clock: @Sendable () -> UInt64

    /// - Parameter clock: nanoseconds of a monotonic clock.
    package init(
        _ mode: AccessLogMode, logger: Logger,
        clock: @escaping @Sendable () -> UInt64 = { SystemClock.monotonicNanoseconds() }
    ) {
        var logger = logger
        // The setting decides which lines there are, not the level.
        logger.logLevel = .info
        self.logger = logger
        self.clock = clock
        modeNumber = Atomic(mode.number)
        let now = clock()
        rates = Mutex(
            Rates(
                failures: Share(burst: 200, perSecond: 20, now: now),
                strangers: Share(burst: 100, perSecond: 5, now: now)))
    }

    /// It may change at any time.
    package var mode: AccessLogMode {
        get { AccessLogMode(number: modeNumber.load(ordering: .relaxed)) }
        set { modeNumber.store(newValue.number, ordering: .relaxed) }
    }

    /// Whether a line is wanted at all, so that nothing is gathered for one that is not.
    package func wants(isError: Bool) -> Bool { mode == .all || (isError && mode == .errors) }

    /// - Parameter isStranger: nobody was let in who had to show anything. Anybody can make as many of these as there is bandwidth,
    ///   so they may not push out what is said of others.
    package func note(_ line: AccessLine, isError: Bool, isStranger: Bool) {
        guard wants(isError: isError), let leftOut = admitted(line.sandbox ?? "", isStranger: isStranger) else {
            return
        }
        var metadata = line.metadata
        if leftOut > 0 { metadata["leftOut"] = "\(leftOut)" }
        logger.info("request", metadata: metadata)
    }

    /// - Returns: how many lines were left out before this one; nil if it is left out, too.
    private func admitted(_ sandbox: String, isStranger: Bool) -> Int? {
        // Who asks for a line of each request gets them all, but for strangers'.
        guard isStranger || mode != .all else { return 0 }
        let now = clock()
        return rates.withLock {
            isStranger ? $0.strangers.admit(sandbox, now: now) : $0.failures.admit(sandbox, now: now)
        }
    }
}

extension AccessLogMode {
    fileprivate var number: Int { Self.allCases.firstIndex(of: self)! }

    fileprivate init(number: Int) { self = Self.allCases.indices.contains(number) ? Self.allCases[number] : .off }
}
