/// How many failures are put up with: so many at once, and one more after each interval. Times are nanoseconds of any
/// steady clock.
///
/// A key costs one number: when all of its failures are paid for (the generic cell rate algorithm). Who is paid up is
/// forgotten; beyond `capacity` those with the least to pay are.
struct Allowances<Key: Hashable & Sendable>: Sendable {
    /// The time that `burst` failures take to be paid for; a century at most, so that sums of it and a clock fit.
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

    /// How long until another failure is put up with; 0 where it is now.
    func wait(_ key: Key, at now: UInt64) -> UInt64 {
        let debt = (paid[key] ?? 0).subtractingOrZero(now)
        return (debt + interval).subtractingOrZero(patience)
    }

    /// Counts a failure. One more than is put up with changes nothing: the wait does not grow.
    mutating func charge(_ key: Key, at now: UInt64) {
        guard wait(key, at: now) == 0 else { return }
        paid[key] = max(paid[key] ?? 0, now) + interval
        if paid.count > capacity { shrink(at: now) }
    }

    private mutating func shrink(at now: UInt64) {
        paid = paid.filter { $0.value > now }
        guard paid.count > capacity else { return }
        // A quarter at once, so that this is rare whatever comes.
        let limit = paid.values.sorted()[paid.count / 4]
        paid = paid.filter { $0.value > limit }
    }
}

extension UInt64 {
    fileprivate func subtractingOrZero(_ other: UInt64) -> UInt64 { self > other ? self - other : 0 }
}
