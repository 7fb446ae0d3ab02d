/// What is known of one upstream by its answers: how long they take, and whether there are any. Times are milliseconds.
struct UpstreamHealth: Sendable {
    /// Attempts without an answer in a row after which an upstream is passed over.
    static let maxMisses = 3
    static let firstPause: UInt64 = 1000
    static let maxPause: UInt64 = 60_000
    /// How long another upstream is waited for while nothing is known of this one.
    static let unmeasuredPatience: UInt64 = 400
    static let leastPatience: UInt64 = 20

    /// Smoothed round-trip time and its variation, as in RFC 6298; nil before the first answer.
    private(set) var roundTrip: (smoothed: Double, variation: Double)?
    private(set) var misses = 0
    private(set) var pause: UInt64 = 0
    /// Not asked before this, while another one can be.
    private(set) var retryAt: UInt64 = 0
    /// Whether it gives a question back in the spelling that it got (0x20); nil while that is not known.
    var keepsCase: Bool?

    func isUsable(now: UInt64) -> Bool { misses < Self.maxMisses || now >= retryAt }

    /// After this long without an answer another upstream is asked, too.
    func patience(atMost limit: UInt64) -> UInt64 {
        guard let roundTrip else { return min(Self.unmeasuredPatience, limit) }
        // Clock and scheduler are part of the variation (RFC 6298, section 2: G).
        let usual = roundTrip.smoothed + max(4 * roundTrip.variation, 10)
        return min(max(UInt64(usual), Self.leastPatience), limit)
    }

    /// It is asked now. One that was passed over is tried by one question at a time.
    mutating func asked(now: UInt64) {
        guard misses >= Self.maxMisses, now >= retryAt else { return }
        pause = min(2 * pause, Self.maxPause)
        retryAt = now + pause
    }

    /// It answered, after this time. `nil` where the time says nothing (a connection was opened for it).
    mutating func answered(after time: UInt64?) {
        (misses, pause, retryAt) = (0, 0, 0)
        guard let time = time.map({ Double($0) }) else { return }
        guard let known = roundTrip else {
            roundTrip = (time, time / 2)
            return
        }
        let error = time - known.smoothed
        roundTrip = (known.smoothed + error / 8, known.variation + (error.magnitude - known.variation) / 4)
    }

    /// It did not answer in the time that it usually takes, or its address cannot be reached.
    mutating func missed(now: UInt64) {
        misses = min(misses + 1, Self.maxMisses + 1)
        // Questions that were on their way together miss together: the pause begins once.
        guard misses == Self.maxMisses else { return }
        pause = Self.firstPause
        retryAt = now + pause
    }
}
