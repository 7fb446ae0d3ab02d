import Addresses

/// The address rules of a policy, flattened for the kernel: disjoint ranges, and what is decided in each.
public struct AddressPlan: Hashable, Sendable {
    public struct Block: Hashable, Sendable {
        public var range: ClosedRange<IPAddress>
        /// What the rules decide for each kind of traffic; nil where the default action applies.
        public var actions: TrafficMap<Action>

        public init(range: ClosedRange<IPAddress>, actions: TrafficMap<Action>) {
            self.range = range
            self.actions = actions
        }
    }

    public var defaultAction: Action
    /// Sorted, IPv4 before IPv6; neighbours that touch differ in their actions.
    public var blocks: [Block]

    public init(defaultAction: Action, blocks: [Block]) {
        self.defaultAction = defaultAction
        self.blocks = blocks
    }

    /// Every address is open.
    public static let open = AddressPlan(defaultAction: .allow, blocks: [])
}

/// Cuts blocks into disjoint ranges.
enum CoveredRange {
    typealias Element = RangeTable<TrafficMap<Int>>.Element

    static func sorted(
        _ blocks: [(block: CIDRBlock, rules: TrafficMap<Int>)]
    ) -> [(block: CIDRBlock, rules: TrafficMap<Int>)] {
        blocks.sorted { ($0.block.base, $0.block.prefixLength) < ($1.block.base, $1.block.prefixLength) }
    }

    /// CIDR blocks nest or are disjoint, never overlap in part, so a stack of the blocks around the current address is
    /// enough.
    /// - Parameter sorted: each with its own first rules; no block twice.
    static func flatten(_ sorted: [(block: CIDRBlock, rules: TrafficMap<Int>)]) -> [Element] {
        var sweep = Sweep()
        for (block, rules) in sorted { sweep.open(block.range, rules) }
        sweep.close(before: nil)
        return sweep.flat
    }

    private struct Sweep {
        var flat: [Element] = []
        /// The blocks around the current address, innermost last, each with the first rules of itself and all blocks
        /// around it.
        private var around: [(end: IPAddress, rules: TrafficMap<Int>)] = []
        /// Where the next range begins; nil past a family's last address.
        private var present: IPAddress?

        mutating func open(_ range: ClosedRange<IPAddress>, _ rules: TrafficMap<Int>) {
            close(before: range.lowerBound)
            if let outer = around.last {
                if let present, present < range.lowerBound { cut(present...range.lowerBound.predecessor!) }
                around.append((range.upperBound, outer.rules.first(rules)))
            } else {
                around.append((range.upperBound, rules))
            }
            present = range.lowerBound
        }

        /// Closes the blocks that end before an address, or all of them for nil.
        mutating func close(before address: IPAddress?) {
            while let inner = around.last, address.map({ inner.end < $0 }) ?? true {
                if let present, present <= inner.end { cut(present...inner.end) }
                present = inner.end.successor
                around.removeLast()
            }
        }

        private mutating func cut(_ range: ClosedRange<IPAddress>) {
            flat.append(Element(range, around[around.count - 1].rules))
        }
    }
}
