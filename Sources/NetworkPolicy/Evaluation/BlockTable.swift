/// The address rules of a policy: by block, and flattened to disjoint ranges.
struct BlockTable: Sendable {
    /// A block that has rules, in the order in which `CoveredRange.flatten` takes blocks.
    private struct Present: Ordered, Sendable {
        struct Place: Comparable {
            let base: IPAddress
            let length: Int

            static func < (left: Self, right: Self) -> Bool { (left.base, left.length) < (right.base, right.length) }
        }

        let block: CIDRBlock
        var place: Place { Place(base: block.base, length: block.prefixLength) }
    }

    private var entries: ShardedMap<CIDRBlock, TargetEntry>
    private var present: SortedPieces<Present>
    /// For each address and kind of traffic, the first rule.
    private(set) var covered: RangeTable<TrafficMap<Int>>

    /// - Parameter entries: of blocks that all differ.
    init(_ entries: [(block: CIDRBlock, entry: TargetEntry)], _ list: RuleList) {
        self.entries = ShardedMap(capacity: entries.count)
        for (block, entry) in entries { self.entries[block] = entry }
        let flat = CoveredRange.sorted(entries.map { ($0.block, $0.entry.map(list)) })
        present = SortedPieces(flat.map { Present(block: $0.block) })
        covered = RangeTable(CoveredRange.flatten(flat))
    }

    subscript(block: CIDRBlock) -> TargetEntry? { entries[block] }

    /// Gives blocks other rules, or none. Every entry first, then the ranges: a range is made of all blocks around it.
    mutating func set(_ changed: [(block: CIDRBlock, entry: TargetEntry?)], _ list: RuleList) {
        for (block, entry) in changed {
            entries[block] = entry
            let item = Present(block: block)
            present.replace(item.place...item.place, with: entry == nil ? [] : [item])
        }
        for (block, _) in changed { _ = covered.replace(block.range, with: flattened(block, list)) }
    }

    /// The ranges inside a block, from the blocks around it and those in it.
    private func flattened(_ block: CIDRBlock, _ list: RuleList) -> [RangeTable<TrafficMap<Int>>.Element] {
        let around = (0..<block.prefixLength).reversed().compactMap { length -> TrafficMap<Int>? in
            CIDRBlock(block.base, prefixLength: length).flatMap { entries[$0]?.map(list) }
        }
        let first = Present.Place(base: block.base, length: block.prefixLength)
        let last = Present.Place(base: block.range.upperBound, length: block.base.bitWidth)
        var parts = present.elements(in: first...last).map { ($0.block, entries[$0.block]!.map(list)) }
        if !around.isEmpty {
            let outer = TrafficMap.first(of: around[...])
            if let own = parts.first, own.0 == block {
                parts[0].1 = outer.first(own.1)
            } else {
                parts.insert((block, outer), at: 0)
            }
        }
        return CoveredRange.flatten(parts)
    }
}
