/// A budget that fills steadily and holds a burst. Whole numbers only: no rounding gives anything away.
///
/// Times are milliseconds of a clock that never goes back; they are passed in.
struct TokenBucket: Hashable, Sendable {
    /// What it holds when nothing has been taken for long.
    let capacity: UInt64
    /// What comes in during `period`.
    let refill: UInt64
    /// Milliseconds.
    let period: UInt64
    /// In units of 1/period.
    private var level: UInt64
    private var last: UInt64

    /// Full at first.
    init(capacity: UInt64, refill: UInt64, period: UInt64, now: UInt64) {
        self.capacity = capacity
        self.refill = refill
        self.period = period
        level = capacity * period
        last = now
    }

    /// Takes all of `amount`, or nothing and answers false.
    mutating func take(_ amount: UInt64, now: UInt64) -> Bool {
        fill(now)
        let (cost, overflow) = amount.multipliedReportingOverflow(by: period)
        guard !overflow, cost <= level else { return false }
        level -= cost
        return true
    }

    /// Whether it is as good as a new one.
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
