import NetworkPolicy

/// A question without its asker.
struct CacheKey: Hashable, Sendable {
    var name: DomainName
    var type: UInt16
}

/// Answers kept for their time, all sandboxes together: what is kept is before any policy. Bounded; times are whole
/// seconds of a clock that never goes back.
struct AnswerCache: Sendable {
    private struct Entry {
        var answer: Answer
        var stored: UInt64
        var expiry: UInt64
    }

    let capacity: Int
    private var entries: [CacheKey: Entry] = [:]
    /// Oldest first; a key stands here once for each time that it was stored.
    private var order: [CacheKey] = []
    private var head = 0

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { entries.count }

    /// An answer that still holds, and its age in seconds.
    func answer(_ key: CacheKey, now: UInt64) -> (answer: Answer, age: UInt32)? {
        guard let entry = entries[key], entry.expiry > now else { return nil }
        return (entry.answer, UInt32(clamping: now - entry.stored))
    }

    mutating func store(_ answer: Answer, for key: CacheKey, now: UInt64) {
        let lifetime = UInt64(answer.lifetime)
        guard capacity > 0, lifetime > 0 else { return }
        while entries.count >= capacity, entries[key] == nil { dropOldest() }
        entries[key] = Entry(answer: answer, stored: now, expiry: now + lifetime)
        order.append(key)
        if order.count > 4 * capacity + 64 { compact() }
    }

    private mutating func dropOldest() {
        guard head < order.count else {
            entries.removeAll()
            return
        }
        entries[order[head]] = nil
        head += 1
        if head > order.count / 2 {
            order.removeFirst(head)
            head = 0
        }
    }

    /// Keys that were stored again stand in the order more than once: keep the last place of each.
    private mutating func compact() {
        var seen: Set<CacheKey> = []
        order = order[head...].reversed().filter { entries[$0] != nil && seen.insert($0).inserted }.reversed()
        head = 0
    }
}
