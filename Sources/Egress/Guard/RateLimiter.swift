/// A token bucket: lets a burst through, then a steady rate. It counts what it suppresses, so that the log can say how
/// much.
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

    /// `nil` to suppress this one, else the number suppressed since the last one let through. `now` is in seconds of a
    /// monotonic clock.
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
