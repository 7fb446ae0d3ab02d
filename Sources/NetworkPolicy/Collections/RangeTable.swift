import Addresses

/// Disjoint ranges of addresses, sorted, each with a value. Adjacent ranges have different values, so tables that mean
/// the same are equal, whatever changes led to them.
public struct RangeTable<Value: Hashable & Sendable>: Sendable {
    public struct Element: Hashable, Sendable {
        /// Both ends are of one address family.
        public var range: ClosedRange<IPAddress>
        public var value: Value

        public init(_ range: ClosedRange<IPAddress>, _ value: Value) {
            self.range = range
            self.value = value
        }
    }

    /// The elements that a change removed and added.
    public struct Change: Hashable, Sendable {
        public var removed: Set<Element> = []
        public var added: Set<Element> = []

        public init() {}

        /// Adds a later change. What the first added and the later one removed cancels out.
        public mutating func join(_ next: Change) {
            for element in next.removed where added.remove(element) == nil { removed.insert(element) }
            for element in next.added where removed.remove(element) == nil { added.insert(element) }
        }
    }

    private var list: ChunkedSortedArray<Element>

    public init() { list = ChunkedSortedArray() }

    /// - Precondition: the elements are disjoint and in order.
    public init(_ sorted: some Sequence<Element>) { list = ChunkedSortedArray(Self.joined(sorted)) }

    public var count: Int { list.count }
    public var isEmpty: Bool { list.isEmpty }
    public var elements: [Element] { Array(list) }

    /// The element that holds an address.
    public func element(holding address: IPAddress) -> Element? {
        // The last range that starts at or before the address is the only one that can hold it.
        guard let found = list.last(at: address), found.range.contains(address) else { return nil }
        return found
    }

    /// The elements that overlap a range, cut at its ends.
    public func elements(in window: ClosedRange<IPAddress>) -> [Element] {
        touching(window).compactMap { element in
            guard element.range.overlaps(window) else { return nil }
            return Element(element.range.clamped(to: window), element.value)
        }
    }

    /// Replaces what the table holds inside a window.
    /// - Precondition: the elements are disjoint, in order and inside the window, which is of one family.
    public mutating func replace(_ window: ClosedRange<IPAddress>, with new: [Element]) -> Change {
        let old = touching(window)
        var parts: [Element] = []
        for element in old where element.range.lowerBound < window.lowerBound {
            let end = min(element.range.upperBound, window.lowerBound.predecessor!)
            parts.append(Element(element.range.lowerBound...end, element.value))
        }
        parts += new
        for element in old where element.range.upperBound > window.upperBound {
            let start = max(element.range.lowerBound, window.upperBound.successor!)
            parts.append(Element(start...element.range.upperBound, element.value))
        }
        parts = Self.joined(parts)
        let places = [window.lowerBound, window.upperBound] + old.map(\.range.lowerBound)
        list.replace(places.min()!...places.max()!, with: parts)
        var change = Change()
        change.removed = Set(old).subtracting(parts)
        change.added = Set(parts).subtracting(old)
        return change
    }

    /// The elements that overlap a window or touch it, uncut.
    private func touching(_ window: ClosedRange<IPAddress>) -> [Element] {
        let last = window.upperBound.successor ?? window.upperBound
        var found = list.elements(in: window.lowerBound...last)
        if let before = window.lowerBound.predecessor, let element = list.last(at: before),
            element.range.upperBound >= before, element.range.lowerBound < window.lowerBound
        {
            found.insert(element, at: 0)
        }
        return found
    }

    private static func joined(_ sorted: some Sequence<Element>) -> [Element] {
        var joined: [Element] = []
        joined.reserveCapacity(sorted.underestimatedCount)
        for element in sorted {
            if let last = joined.last, last.value == element.value,
                last.range.upperBound.successor == element.range.lowerBound
            {
                joined[joined.count - 1].range = last.range.lowerBound...element.range.upperBound
            } else {
                joined.append(element)
            }
        }
        return joined
    }
}

extension RangeTable: Hashable {
    public static func == (left: Self, right: Self) -> Bool {
        left.count == right.count && left.list.elementsEqual(right.list)
    }
    public func hash(into hasher: inout Hasher) { hasher.combine(count) }
}

extension RangeTable.Element: Ordered {
    var place: IPAddress { range.lowerBound }
}
