import NetworkPolicy

/// Bounds the information that leaves in names under an allowed wildcard: who owns the zone reads every query that is
/// forwarded (E2).
///
/// What a forwarded query can say, in bytes:
/// - A name that was not asked lately: its characters below the zone, of an alphabet of 39 (letters, digits, hyphen,
///   underscore, dot), 5.3 bits each.
/// - One that was: which of at most 4,096 names, and which of at most 16 types: 2 bytes.
/// - When: 2 bytes, for whoever sees one of 65,536 moments in the time that the budget needs to fill again.
/// - Types whose answers are free text (anything but A and AAAA) are channels inwards, too: as much again as an answer.
struct WildcardBudget: Sendable {
    /// What a plain answer may hold (RFC 1035, section 4.2.1).
    static let freeText: UInt64 = 512
    static let timing: UInt64 = 2
    static let selection: UInt64 = 2
    /// Zones with a budget of their own at one time. Others share one.
    static let maximumZones = 256
    /// Milliseconds after which it is looked again for zones that need none any more.
    static let sweepInterval: UInt64 = 1000

    let bytesPerMinute: UInt64
    let burst: UInt64
    private var buckets: [DomainName: TokenBucket] = [:]
    private var shared: TokenBucket?
    private var nextSweep: UInt64 = 0
    private var known = RecentNames(capacity: 2048)

    init(bytesPerMinute: UInt64, burst: UInt64) {
        self.bytesPerMinute = bytesPerMinute
        self.burst = burst
    }

    /// Whether a query may be forwarded, which a rule for `*.zone` allows. It is paid for then.
    mutating func admit(_ name: DomainName, type: UInt16, below zone: DomainName, now: UInt64) -> Bool {
        let owner = Self.owner(of: name, below: zone)
        let isKnown = known.contains(name)
        let cost = Self.cost(of: name, type: type, below: owner, isKnown: isKnown)
        guard take(cost, of: owner, now: now) else { return false }
        if !isKnown { known.insert(name) }
        return true
    }

    /// In bytes, rounded up.
    static func cost(of name: DomainName, type: UInt16, below zone: DomainName, isKnown: Bool) -> UInt64 {
        let characters = UInt64(max(0, name.wire.count - zone.wire.count))
        // 39 characters are fewer than 2^(16/3).
        let choice = isKnown ? selection : (characters * 2 + 2) / 3 + 1
        return timing + choice + ([1, 28].contains(type) ? 0 : freeText)
    }

    /// Whose budget a name is counted on. Below a top-level domain each name has an owner of its own.
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
            buckets = buckets.filter { _, bucket in
                var bucket = bucket
                return !bucket.isFull(now: now)
            }
        }
        let fresh = TokenBucket(capacity: burst, refill: bytesPerMinute, period: 60_000, now: now)
        if buckets.count < Self.maximumZones { return buckets[zone, default: fresh].take(cost, now: now) }
        var bucket = shared ?? fresh
        defer { shared = bucket }
        return bucket.take(cost, now: now)
    }
}
