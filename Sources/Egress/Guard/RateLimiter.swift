/// A token bucket: lets a burst through, then a steady rate. What it holds back is counted, so that the log can
/// say how much it left out.
struct RateLimiter: Sendable {
    let burst: Double
    let perSecond: Double
    private var tokens: Double
    private var last: UInt64 = 0
    private var suppressed = 0

    init(burst: Int, perSecond: Double) {
        self.burst = Double(burst)
        self.perSecond = perSecond
        self.tokens = Double(burst)
    }

    /// `nil`: hold this one back. Otherwise the number held back since the last one let through.
    /// `now` is in seconds of a clock that never goes back.
    mutating func admit(now: UInt64) -> Int? {
        if now > last { tokens = min(burst, tokens + Double(now - last) * perSecond) }
        last = max(last, now)
        guard tokens >= 1 else {
            suppressed += 1
            return nil
        }
        tokens -= 1
        defer { suppressed = 0 }
        return suppressed
    }
}
