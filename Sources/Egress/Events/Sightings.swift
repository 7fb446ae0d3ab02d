import NetworkPolicy

/// Remembers which names were reported recently, so that a thousand queries for a name make one event.
///
/// A table of 64-bit hashes, with a seed that no sandbox knows. It grows to twice its capacity.
struct Sightings: Sendable {
    enum Outcome: Hashable, Sendable {
        case allowed, denied, wouldDeny, addressesRemoved, flowRefused
    }

    private struct Slot {
        /// 0 in an empty slot.
        var hash: UInt64 = 0
        var time: UInt64 = 0
    }

    /// A denial is reported again after this many seconds; an allowed name once under a policy.
    static let repetition: UInt64 = 60

    let capacity: Int
    private var count = 0
    private var slots: [Slot] = []

    init(capacity: Int = 1024) { self.capacity = capacity }

    /// Whether this is worth an event now.
    mutating func isNews(_ name: DomainName, _ outcome: Outcome, now: UInt64) -> Bool {
        var hasher = Hasher()
        hasher.combine(name)
        hasher.combine(outcome)
        let hash = max(UInt64(bitPattern: Int64(hasher.finalize())), 1)
        if let place = place(of: hash), slots[place].hash == hash {
            if outcome == .allowed || now < slots[place].time + Self.repetition { return false }
            slots[place].time = now
            return true
        }
        // Too many to remember; some will be reported twice.
        if count >= capacity { forget() }
        if 2 * count >= slots.count { grow() }
        slots[place(of: hash)!] = Slot(hash: hash, time: now)
        count += 1
        return true
    }

    /// Called for a new policy, under which everything is news.
    mutating func clear() {
        slots = []
        count = 0
    }

    private mutating func forget() {
        for index in slots.indices { slots[index] = Slot() }
        count = 0
    }

    private mutating func grow() {
        let before = slots
        slots = [Slot](repeating: Slot(), count: max(16, 2 * before.count))
        for slot in before where slot.hash != 0 { slots[place(of: slot.hash)!] = slot }
    }

    /// The slot of a hash, or the free one for it; nil if the table is empty.
    private func place(of hash: UInt64) -> Int? {
        guard !slots.isEmpty else { return nil }
        var place = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[place].hash != 0, slots[place].hash != hash { place = (place + 1) & (slots.count - 1) }
        return place
    }
}
