import Addresses

/// The address rules of a policy: by block, and flattened to disjoint ranges.
struct BlockTable: Sendable {
    /// A block that has rules, in the order that `CoveredRange.flatten` expects.
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
    /// The rules for any address, which apply to the largest block of both families beside that block's own rules.
    private(set) var everywhere: TargetEntry?
    private var present: ChunkedSortedArray<Present>
    /// The first rule for each address and kind of traffic.
    private(set) var covered: RangeTable<TrafficMap<Int>>

    /// - Parameter entries: no block twice.
    init(_ entries: [(block: CIDRBlock, entry: TargetEntry)], everywhere: TargetEntry?, _ list: RuleLayers) {
        self.entries = ShardedMap(capacity: entries.count)
        self.everywhere = everywhere
        for (block, entry) in entries { self.entries[block] = entry }
        present = ChunkedSortedArray()
        covered = RangeTable()
        var blocks = entries.map(\.block)
        if everywhere != nil { blocks += CIDRBlock.everything.filter { self.entries[$0] == nil } }
        let flat = CoveredRange.sorted(blocks.compactMap { block in rules(of: block, list).map { (block, $0) } })
        present = ChunkedSortedArray(flat.map { Present(block: $0.block) })
        covered = RangeTable(CoveredRange.flatten(flat))
    }

    subscript(block: CIDRBlock) -> TargetEntry? { entries[block] }

    /// Sets the rules of blocks, or removes them. All entries are set before any range is recomputed, because a range
    /// depends on every block around it.
    /// - Parameter everywhere: the rules for any address, where these are changed.
    mutating func set(
        _ changed: [(block: CIDRBlock, entry: TargetEntry?)], everywhere: TargetEntry??, _ list: RuleLayers
    ) {
        var blocks = changed.map(\.block)
        for (block, entry) in changed { entries[block] = entry }
        if let everywhere {
            self.everywhere = everywhere
            blocks += CIDRBlock.everything
        }
        for block in blocks {
            let item = Present(block: block)
            present.replace(item.place...item.place, with: rules(of: block, list) == nil ? [] : [item])
        }
        for block in blocks { _ = covered.replace(block.range, with: flattened(block, list)) }
    }

    /// The first rules of a block by itself; nil where it has none.
    private func rules(of block: CIDRBlock, _ list: RuleLayers) -> TrafficMap<Int>? {
        let own = entries[block]?.map(list)
        guard block.prefixLength == 0, let everywhere = everywhere?.map(list) else { return own }
        return own.map { $0.first(everywhere) } ?? everywhere
    }

    /// The ranges inside a block, computed from the blocks around it and those in it.
    private func flattened(_ block: CIDRBlock, _ list: RuleLayers) -> [RangeTable<TrafficMap<Int>>.Element] {
        let around = (0..<block.prefixLength).reversed().compactMap { length -> TrafficMap<Int>? in
            CIDRBlock(block.base, prefixLength: length).flatMap { rules(of: $0, list) }
        }
        let first = Present.Place(base: block.base, length: block.prefixLength)
        let last = Present.Place(base: block.range.upperBound, length: block.base.bitWidth)
        var parts = present.elements(in: first...last).map { ($0.block, rules(of: $0.block, list)!) }
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
