/// What waits in a `TimerWheel`, and where.
protocol TimerWheelEntry: AnyObject {
    /// The wheel's own; nil outside of one.
    var place: TimerWheelPlace? { get set }
}

struct TimerWheelPlace: Hashable, Sendable {
    fileprivate(set) var tick: UInt64
    fileprivate var index: Int
}

/// A hashed timing wheel (Varghese and Lauck): entries by the tick at which they are due, in a ring of slots, so that adding
/// and removing one costs the same however many there are. What lies beyond a turn of the ring is due at its end, and whoever
/// uses it adds it again then.
struct TimerWheel<Entry: TimerWheelEntry> {
    static var slots: Int { 1024 }
    /// An empty slot gives up more room than this.
    private static var keptRoom: Int { 16 }

    private var ring = Array(repeating: [Entry](), count: Self.slots)
    /// A bit a slot that has entries.
    private var occupied = Array(repeating: UInt64(0), count: Self.slots / 64)
    private var count = 0
    /// Everything up to here has been taken.
    private var current: UInt64 = 0
    /// No entry is due before this; nil where there is none.
    private(set) var next: UInt64?

    /// - Parameter tick: when it is due; one that has passed is due at the next.
    mutating func add(_ entry: Entry, at tick: UInt64, now: UInt64) {
        if let next, count > 0 {
            current = max(current, min(now, next - 1))
        } else {
            current = max(current, now)
            next = nil
        }
        let tick = min(max(tick, current + 1), current + UInt64(Self.slots) - 1)
        let slot = Self.slot(tick)
        entry.place = TimerWheelPlace(tick: tick, index: ring[slot].count)
        ring[slot].append(entry)
        occupied[slot / 64] |= 1 << UInt64(slot % 64)
        count += 1
        next = min(next ?? tick, tick)
    }

    mutating func remove(_ entry: Entry) {
        guard let place = entry.place else { return }
        let slot = Self.slot(place.tick)
        entry.place = nil
        let last = ring[slot].removeLast()
        if last !== entry {
            ring[slot][place.index] = last
            last.place?.index = place.index
        }
        count -= 1
        if ring[slot].isEmpty { empty(slot) }
    }

    /// - Returns: what is due by now, and is no longer here.
    mutating func take(until now: UInt64) -> [Entry] {
        var due: [Entry] = []
        if let first = next, first <= now {
            for tick in first...min(now, current + UInt64(Self.slots) - 1) {
                let slot = Self.slot(tick)
                guard !ring[slot].isEmpty else { continue }
                due += ring[slot]
                count -= ring[slot].count
                ring[slot].removeAll(keepingCapacity: true)
                empty(slot)
            }
            for entry in due { entry.place = nil }
        }
        current = max(current, now)
        next = count > 0 ? firstOccupied() : nil
        return due
    }

    private static func slot(_ tick: UInt64) -> Int { Int(tick % UInt64(slots)) }

    private mutating func empty(_ slot: Int) {
        occupied[slot / 64] &= ~(1 << UInt64(slot % 64))
        if ring[slot].capacity > Self.keptRoom { ring[slot] = [] }
    }

    /// The first tick behind `current` that has entries: a word of slots at a time.
    private func firstOccupied() -> UInt64? {
        var tick = current + 1
        while tick < current + UInt64(Self.slots) {
            let slot = Self.slot(tick)
            let word = occupied[slot / 64] >> UInt64(slot % 64)
            if word != 0 { return tick + UInt64(word.trailingZeroBitCount) }
            tick += UInt64(64 - slot % 64)
        }
        return nil
    }
}
