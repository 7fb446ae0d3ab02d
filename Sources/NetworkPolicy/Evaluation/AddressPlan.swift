/// A range of addresses of one family, and the position of the first rule that covers it.
struct RangedRule: Hashable, Sendable {
    var range: ClosedRange<IPAddress>
    var rule: Int

    /// Cuts overlapping ranges into disjoint ones, each with the smallest rule position over it; sorted.
    ///
    /// A sweep over the range ends: the rules that cover the current stretch are kept in a heap, so n ranges cost
    /// n log n, not n².
    static func flatten(_ blocks: [(range: ClosedRange<IPAddress>, rule: Int)]) -> [RangedRule] {
        let starting = blocks.sorted { $0.range.lowerBound < $1.range.lowerBound }
        // Where coverage may change: every start, and every address after an end (an end at a family's last has none).
        let edges = Set(blocks.map(\.range.lowerBound) + blocks.compactMap(\.range.upperBound.successor)).sorted()
        var active = Heap()
        var next = 0
        var flat: [RangedRule] = []
        for (index, edge) in edges.enumerated() {
            while next < starting.count, starting[next].range.lowerBound == edge {
                active.insert(rule: starting[next].rule, until: starting[next].range.upperBound)
                next += 1
            }
            active.dropEnded(before: edge)
            guard let best = active.first else { continue }
            // The best rule may end exactly where the next edge begins, never before it.
            let nextEdge = index + 1 < edges.count ? edges[index + 1].predecessor : nil
            let end = nextEdge.map { $0.isIPv4 == edge.isIPv4 && $0 < best.until ? $0 : best.until } ?? best.until
            if let last = flat.last, last.rule == best.rule, last.range.upperBound.successor == edge {
                flat[flat.count - 1].range = last.range.lowerBound...end
            } else {
                flat.append(RangedRule(range: edge...end, rule: best.rule))
            }
        }
        return flat
    }

    /// A binary heap, smallest rule first. Ended entries leave when they come to the top.
    private struct Heap {
        private var items: [(rule: Int, until: IPAddress)] = []

        var first: (rule: Int, until: IPAddress)? { items.first }

        mutating func dropEnded(before edge: IPAddress) {
            while let top = items.first, top.until < edge { removeFirst() }
        }

        mutating func insert(rule: Int, until: IPAddress) {
            items.append((rule, until))
            var child = items.count - 1
            while child > 0, items[child].rule < items[(child - 1) / 2].rule {
                items.swapAt(child, (child - 1) / 2)
                child = (child - 1) / 2
            }
        }

        private mutating func removeFirst() {
            items.swapAt(0, items.count - 1)
            items.removeLast()
            var parent = 0
            while true {
                let children = [2 * parent + 1, 2 * parent + 2].filter { $0 < items.count }
                guard let least = children.min(by: { items[$0].rule < items[$1].rule }),
                    items[least].rule < items[parent].rule
                else { return }
                items.swapAt(parent, least)
                parent = least
            }
        }
    }
}

/// The address rules of a policy, flattened for the kernel: what is allowed, what is denied, and the rest.
public struct AddressPlan: Hashable, Sendable {
    public var defaultAction: Action
    /// Disjoint and sorted; IPv4 before IPv6.
    public var allowed: [ClosedRange<IPAddress>]
    public var denied: [ClosedRange<IPAddress>]

    public init(defaultAction: Action, allowed: [ClosedRange<IPAddress>], denied: [ClosedRange<IPAddress>]) {
        self.defaultAction = defaultAction
        self.allowed = allowed
        self.denied = denied
    }

    init(_ flat: [RangedRule], policy: Policy) {
        func ranges(_ action: Action) -> [ClosedRange<IPAddress>] {
            var joined: [ClosedRange<IPAddress>] = []
            for item in flat where policy.rules[item.rule].action == action {
                if let last = joined.last, last.upperBound.successor == item.range.lowerBound {
                    joined[joined.count - 1] = last.lowerBound...item.range.upperBound
                } else {
                    joined.append(item.range)
                }
            }
            return joined
        }
        self.init(defaultAction: policy.defaultAction, allowed: ranges(.allow), denied: ranges(.deny))
    }
}
