import NetworkPolicy
import System

/// Limits the information that leaves in names under an allowed wildcard. Whoever owns the zone can read every
/// forwarded query (docs/threats.md, E2).
///
/// What a forwarded query can tell, in bytes:
/// - A name that was not asked for recently: its characters below the zone, of an alphabet of 39 (letters, digits,
///   hyphen, underscore, dot), 5.3 bits each.
/// - A recent one: which of at most 4,096 names and which of at most 16 types, 2 bytes.
/// - Its time: 2 bytes, enough for 65,536 distinguishable moments while the budget refills.
/// - Types with free text in their answers (all but A and AAAA) also carry data inwards: as much again as an answer
///   holds.
struct WildcardBudget: Sendable {
    /// The size of a plain answer (RFC 1035, section 4.2.1).
    static let freeText: UInt64 = 512
    static let timing: UInt64 = 2
    static let selection: UInt64 = 2
    /// Zones that have their own budget at one time; all others share one.
    static let maximumZones = 256
    /// Milliseconds between two searches for zones whose budget is full again and can be dropped.
    static let sweepInterval: UInt64 = 1000

    let bytesPerMinute: UInt64
    let burst: UInt64
    private var buckets: [DomainName: RateLimiter] = [:]
    private var shared: RateLimiter?
    private var nextSweep: UInt64 = 0
    private var known = RecentNames(capacity: 2048)

    init(bytesPerMinute: UInt64, burst: UInt64) {
        self.bytesPerMinute = bytesPerMinute
        self.burst = burst
    }

    /// Whether a query that a rule for `*.zone` allows may be forwarded. If so, its cost is taken.
    mutating func admit(_ name: DomainName, type: UInt16, below zone: DomainName, now: UInt64) -> Bool {
        let owner = Self.owner(of: name, below: zone)
        let isKnown = known.contains(name)
        let cost = Self.cost(of: name, type: type, below: owner, isKnown: isKnown)
        guard take(cost, of: owner, now: now) else { return false }
        if !isKnown { known.insert(name) }
        return true
    }

    /// The cost in bytes, rounded up.
    static func cost(of name: DomainName, type: UInt16, below zone: DomainName, isKnown: Bool) -> UInt64 {
        let characters = UInt64(max(0, name.wire.count - zone.wire.count))
        // 39 characters are fewer than 2^(16/3).
        let choice = isKnown ? selection : (characters * 2 + 2) / 3 + 1
        return timing + choice + ([1, 28].contains(type) ? 0 : freeText)
    }

    /// The zone whose budget pays for a name. Directly below a top-level domain every name has its own owner, and so
    /// its own budget.
    static func owner(of name: DomainName, below zone: DomainName) -> DomainName {
        guard zone.labelCount == 1 else { return zone }
        var owner = name
        while let above = owner.parent, above != zone { owner = above }
        return owner
    }

    private mutating func take(_ cost: UInt64, of zone: DomainName, now: UInt64) -> Bool {
        if let place = buckets.index(forKey: zone) { return buckets.values[place].take(cost, now: now) }
        if buckets.count >= Self.maximumZones, now >= nextSweep {
            nextSweep = now + Self.sweepInterval
            // A full one says nothing that a new one would not.
            buckets = buckets.filter { !$0.value.isFull(now: now) }
        }
        let fresh = RateLimiter(Rate(burst: burst, refill: bytesPerMinute, period: 60_000), now: now)
        if buckets.count < Self.maximumZones { return buckets[zone, default: fresh].take(cost, now: now) }
        var bucket = shared ?? fresh
        defer { shared = bucket }
        return bucket.take(cost, now: now)
    }
}
