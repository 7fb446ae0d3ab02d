/// Allows a burst of events, and one more after each interval. Times are nanoseconds of a monotonic clock.
///
/// Each key takes one number: the time at which all its events are paid off (the generic cell rate algorithm). Keys
/// that are paid off are dropped, and beyond `capacity` those that would be paid off first.
struct Allowances<Key: Hashable & Sendable>: Sendable {
    /// The time in which `burst` events are paid off; at most a century, so that adding it to a clock cannot overflow.
    private let patience: UInt64
    private let interval: UInt64
    private let capacity: Int
    private var paid: [Key: UInt64] = [:]

    init(burst: Int, interval: Duration, capacity: Int) {
        self.interval = UInt64(interval / .nanoseconds(1))
        let (patience, overflows) = UInt64(burst).multipliedReportingOverflow(by: self.interval)
        self.patience = overflows ? Self.longest : min(patience, Self.longest)
        self.capacity = max(1, capacity)
    }

    private static var longest: UInt64 { 100 * 366 * 86_400 * 1_000_000_000 }

    var count: Int { paid.count }

    func isClean(_ key: Key, at now: UInt64) -> Bool { (paid[key] ?? 0) <= now }

    /// How long until another event is allowed; 0 for now.
    func wait(_ key: Key, at now: UInt64) -> UInt64 {
        let debt = (paid[key] ?? 0).subtractingOrZero(now)
        return (debt + interval).subtractingOrZero(patience)
    }

    /// Counts an event. Beyond the limit nothing is added, so the wait does not grow.
    mutating func charge(_ key: Key, at now: UInt64) {
        guard wait(key, at: now) == 0 else { return }
        paid[key] = max(paid[key] ?? 0, now) + interval
        if paid.count > capacity { shrink(at: now) }
    }

    private mutating func shrink(at now: UInt64) {
        paid = paid.filter { $0.value > now }
        guard paid.count > capacity else { return }
        // Drop a quarter at once, so that this happens rarely.
        let limit = paid.values.sorted()[paid.count / 4]
        paid = paid.filter { $0.value > limit }
    }
}

extension UInt64 {
    fileprivate func subtractingOrZero(_ other: UInt64) -> UInt64 { self > other ? self - other : 0 }
}
