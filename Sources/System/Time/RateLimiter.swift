/// A rate limit: a burst, and a steady rate after that.
package struct Rate: Hashable, Sendable {
    /// The level when nothing has been taken for long.
    package let burst: UInt64
    /// What is added during `period`.
    package let refill: UInt64
    /// In ticks of the caller's clock.
    package let period: UInt64

    /// Clamps the numbers, so that sums cannot overflow whatever is configured.
    package init(burst: UInt64, refill: UInt64, period: UInt64) {
        self.period = min(max(period, 1), 1 << 62)
        self.refill = max(refill, 1)
        self.burst = min(burst, (1 << 62) / self.period)
    }

    /// One every `interval`, by a clock of nanoseconds.
    package init(burst: Int, every interval: Duration) {
        let (seconds, attoseconds) = interval.components
        let nanoseconds = Int64(min(max(seconds, 0), 4_000_000_000)) * 1_000_000_000 + attoseconds / 1_000_000_000
        self.init(burst: UInt64(max(burst, 0)), refill: 1, period: UInt64(max(nanoseconds, 1)))
    }

    /// So many per second, by a clock of nanoseconds.
    package init(burst: Int, perSecond: Int) {
        self.init(burst: UInt64(max(burst, 0)), refill: UInt64(max(perSecond, 1)), period: 1_000_000_000)
    }

    /// The level of one account, as an integer in units of 1/period, so that rounding never gives anything away.
    struct Balance: Hashable, Sendable {
        fileprivate var left: UInt64
        fileprivate var at: UInt64
    }

    private var full: UInt64 { burst * period }

    func balance(at now: UInt64) -> Balance { Balance(left: full, at: now) }

    /// Adds what has accrued since the last call.
    private func fill(_ balance: inout Balance, at now: UInt64) {
        guard now > balance.at else { return }
        let (income, overflows) = (now - balance.at).multipliedReportingOverflow(by: refill)
        balance.at = now
        let room = full - balance.left
        balance.left += overflows ? room : min(room, income)
    }

    /// Takes `amount`; if there is less, takes nothing and returns false.
    func take(_ amount: UInt64, from balance: inout Balance, at now: UInt64) -> Bool {
        fill(&balance, at: now)
        let (cost, overflows) = amount.multipliedReportingOverflow(by: period)
        guard !overflows, cost <= balance.left else { return false }
        balance.left -= cost
        return true
    }

    func isFull(_ balance: Balance, at now: UInt64) -> Bool { debt(balance, at: now) == 0 }

    /// Ticks until one can be taken.
    func wait(_ balance: Balance, at now: UInt64) -> UInt64 {
        var balance = balance
        fill(&balance, at: now)
        guard balance.left < period else { return 0 }
        return (period - balance.left - 1) / refill + 1
    }

    /// How much is missing to the full level.
    func debt(_ balance: Balance, at now: UInt64) -> UInt64 {
        var balance = balance
        fill(&balance, at: now)
        return full - balance.left
    }
}

/// A token bucket. The caller passes the time, in monotonic ticks of the rate's unit.
package struct RateLimiter: Hashable, Sendable {
    package let rate: Rate
    private var balance: Rate.Balance
    private var refused = 0

    /// Starts full.
    package init(_ rate: Rate, now: UInt64) {
        self.rate = rate
        balance = rate.balance(at: now)
    }

    /// Takes `amount`; if there is less, takes nothing and returns false.
    package mutating func take(_ amount: UInt64 = 1, now: UInt64) -> Bool {
        rate.take(amount, from: &balance, at: now)
    }

    /// For log lines, which say how many were suppressed before them.
    /// - Returns: how many were suppressed since the last one let through; nil if this one is suppressed.
    package mutating func admit(now: UInt64) -> Int? {
        guard take(now: now) else {
            refused += 1
            return nil
        }
        defer { refused = 0 }
        return refused
    }

    /// Whether it is full, and so equal to a new one.
    package func isFull(now: UInt64) -> Bool { rate.isFull(balance, at: now) }
}

/// A token bucket for each key. Full ones are dropped, and beyond `capacity` those that are nearest to full.
package struct KeyedRateLimiter<Key: Hashable & Sendable>: Sendable {
    private let rate: Rate
    private let capacity: Int
    private var balances: [Key: Rate.Balance] = [:]

    package init(_ rate: Rate, capacity: Int) {
        self.rate = rate
        self.capacity = max(1, capacity)
    }

    package var count: Int { balances.count }

    /// Whether the key's bucket is full.
    package func isFull(_ key: Key, at now: UInt64) -> Bool { balances[key].map { rate.isFull($0, at: now) } ?? true }

    /// Ticks until one can be taken; 0 for now.
    package func wait(_ key: Key, at now: UInt64) -> UInt64 {
        rate.wait(balances[key] ?? rate.balance(at: now), at: now)
    }

    /// Takes one if there is one. A refused attempt takes nothing, so asking again does not lengthen the wait.
    @discardableResult
    package mutating func take(_ key: Key, at now: UInt64) -> Bool {
        let isTaken = rate.take(1, from: &balances[key, default: rate.balance(at: now)], at: now)
        if balances.count > capacity { shrink(at: now) }
        return isTaken
    }

    private mutating func shrink(at now: UInt64) {
        balances = balances.filter { !rate.isFull($0.value, at: now) }
        guard balances.count > capacity else { return }
        // Drop a quarter at once, so that this happens rarely.
        let limit = balances.values.map { rate.debt($0, at: now) }.sorted()[balances.count / 4]
        balances = balances.filter { rate.debt($0.value, at: now) > limit }
    }
}
