/// A token bucket: it refills at a steady rate up to a burst. Integer arithmetic, so that rounding never gives anything
/// away.
///
/// Times are milliseconds of a monotonic clock, passed in.
struct TokenBucket: Hashable, Sendable {
    /// The level when full.
    let capacity: UInt64
    /// What is added during `period`.
    let refill: UInt64
    /// Milliseconds.
    let period: UInt64
    /// In units of 1/period.
    private var level: UInt64
    private var last: UInt64

    /// Starts full.
    init(capacity: UInt64, refill: UInt64, period: UInt64, now: UInt64) {
        self.capacity = capacity
        self.refill = refill
        self.period = period
        level = capacity * period
        last = now
    }

    /// Takes `amount`; if there is less, takes nothing and returns false.
    mutating func take(_ amount: UInt64, now: UInt64) -> Bool {
        fill(now)
        let (cost, overflow) = amount.multipliedReportingOverflow(by: period)
        guard !overflow, cost <= level else { return false }
        level -= cost
        return true
    }

    /// Whether it is full, and so equal to a new one.
    mutating func isFull(now: UInt64) -> Bool {
        fill(now)
        return level == capacity * period
    }

    private mutating func fill(_ now: UInt64) {
        guard now > last else { return }
        let (income, overflow) = (now - last).multipliedReportingOverflow(by: refill)
        last = now
        let room = capacity * period - level
        level += overflow ? room : min(room, income)
    }
}
