/// A binary heap of times at which entries of an array (given by index) have work, earliest first. An index may occur
/// more than once; whoever takes one out checks whether it still has work.
struct TimerHeap: Sendable {
    struct Entry: Sendable {
        var time: UInt64
        var place: Int32
    }

    private var entries: [Entry] = []

    var first: UInt64? { entries.first?.time }
    var count: Int { entries.count }

    mutating func insert(_ time: UInt64, _ place: Int32) {
        var index = entries.count
        entries.append(Entry(time: time, place: place))
        while index > 0, entries[(index - 1) / 2].time > time {
            entries.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    /// Removes and returns the earliest index whose time has come.
    mutating func pop(now: UInt64) -> Int32? {
        guard let earliest = entries.first, earliest.time <= now else { return nil }
        let last = entries.removeLast()
        guard !entries.isEmpty else { return earliest.place }
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
        return earliest.place
    }
}
