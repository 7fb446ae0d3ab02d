import NetworkPolicy

/// Remembers recent names in bounded memory, in two generations of fingerprints. The older generation is dropped when
/// the younger is full or its time is up.
///
/// Fingerprints are Swift's keyed hashes, so nobody can choose names that collide.
struct RecentNames: Sendable {
    /// The most names of one generation.
    let capacity: Int
    private var young: Set<Int> = []
    private var old: Set<Int> = []

    init(capacity: Int) { self.capacity = capacity }

    /// At most twice the capacity.
    var count: Int { young.count + old.count }

    func contains(_ name: DomainName) -> Bool {
        let print = name.hashValue
        return young.contains(print) || old.contains(print)
    }

    mutating func insert(_ name: DomainName) {
        if young.count >= capacity { age() }
        young.insert(name.hashValue)
    }

    /// Drops the older generation.
    mutating func age() {
        old = young
        young = []
    }
}

/// Counts distinct names in windows of fixed length, up to a limit. A name that was counted is free for the rest of the
/// window.
struct DistinctNames: Sendable {
    let limit: Int
    /// Milliseconds.
    let window: UInt64
    private var seen: Set<Int> = []
    private var start: UInt64?

    init(limit: Int, window: UInt64) {
        self.limit = limit
        self.window = window
    }

    /// Whether the name was counted in this window already, or there is room for one more.
    mutating func admit(_ name: DomainName, now: UInt64) -> Bool {
        if start.map({ now >= $0 + window }) ?? true {
            start = now
            seen.removeAll()
        }
        let print = name.hashValue
        if seen.contains(print) { return true }
        guard seen.count < limit else { return false }
        seen.insert(print)
        return true
    }
}
