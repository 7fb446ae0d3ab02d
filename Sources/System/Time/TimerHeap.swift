/// A binary heap of times at which something is due, earliest first. An item may occur more than once; whoever takes one out
/// checks whether it still has work.
///
/// Public, since only public code is compiled for its item in another module: with `package` a forwarded question cost 29 allocations
/// more.
public struct TimerHeap<Item: Sendable>: Sendable {
    @usableFromInline struct Entry: Sendable {
        @usableFromInline var time: UInt64
        @usableFromInline var item: Item

        @inlinable init(time: UInt64, item: Item) { (self.time, self.item) = (time, item) }
    }

    @usableFromInline var entries: [Entry] = []

    @inlinable public init() {}

    @inlinable public var first: UInt64? { entries.first?.time }
    @inlinable public var count: Int { entries.count }

    @inlinable public mutating func insert(_ time: UInt64, _ item: Item) {
        var index = entries.count
        entries.append(Entry(time: time, item: item))
        while index > 0, entries[(index - 1) / 2].time > time {
            entries.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    /// Removes and returns the earliest item whose time has come.
    @inlinable public mutating func pop(now: UInt64) -> Item? {
        guard let earliest = entries.first, earliest.time <= now else { return nil }
        let last = entries.removeLast()
        guard !entries.isEmpty else { return earliest.item }
        entries[0] = last
        var index = 0
        while true {
            var child = 2 * index + 1
            guard child < entries.count else { break }
            if child + 1 < entries.count, entries[child + 1].time < entries[child].time { child += 1 }
            guard entries[child].time < entries[index].time else { break }
            entries.swapAt(index, child)
            index = child
        }
        return earliest.item
    }
}
