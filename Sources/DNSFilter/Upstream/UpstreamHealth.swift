import System

/// Health of one upstream: whether it answers, and how long its answers take. Times are milliseconds.
struct UpstreamHealth: Sendable {
    /// Consecutive unanswered attempts after which an upstream is passed over.
    static let maxMisses = 3
    static let firstPause: UInt64 = 1000
    static let maxPause: UInt64 = 60_000
    /// How long to wait for an upstream that has not been measured yet before the next one is asked as well.
    static let unmeasuredPatience: UInt64 = 400
    static let leastPatience: UInt64 = 20

    /// Smoothed round-trip time and its variation, as in RFC 6298; nil before the first answer.
    private(set) var roundTrip: (smoothed: Double, variation: Double)?
    private(set) var misses = 0
    private var backOff = BackOff(first: firstPause, longest: maxPause)
    /// While passed over: not asked before this time unless there is no other.
    private(set) var retryAt: UInt64 = 0
    /// Whether it repeats a question's letter case (0x20); nil while unknown.
    var keepsCase: Bool?

    func isUsable(now: UInt64) -> Bool { misses < Self.maxMisses || now >= retryAt }

    /// How long to wait for its answer before another upstream is asked as well.
    func patience(atMost limit: UInt64) -> UInt64 {
        guard let roundTrip else { return min(Self.unmeasuredPatience, limit) }
        // 10 ms for clock and scheduler granularity (RFC 6298, section 2: G).
        let usual = roundTrip.smoothed + max(4 * roundTrip.variation, 10)
        return min(max(UInt64(usual), Self.leastPatience), limit)
    }

    /// Records that it is asked now. An upstream that was passed over gets one question at a time.
    mutating func asked(now: UInt64) {
        guard misses >= Self.maxMisses, now >= retryAt else { return }
        retryAt = now + backOff.next()
    }

    /// Records an answer and how long it took; nil if the time says nothing, as when a connection was opened for it.
    mutating func answered(after time: UInt64?) {
        (misses, retryAt) = (0, 0)
        backOff.reset()
        guard let time = time.map({ Double($0) }) else { return }
        guard let known = roundTrip else {
            roundTrip = (time, time / 2)
            return
        }
        let error = time - known.smoothed
        roundTrip = (known.smoothed + error / 8, known.variation + (error.magnitude - known.variation) / 4)
    }

    /// Records that it did not answer in its usual time, or that its address cannot be reached.
    mutating func missed(now: UInt64) {
        misses = min(misses + 1, Self.maxMisses + 1)
        // Questions that were under way together miss together; start the pause only once.
        guard misses == Self.maxMisses else { return }
        backOff.reset()
        retryAt = now + backOff.next()
    }
}
