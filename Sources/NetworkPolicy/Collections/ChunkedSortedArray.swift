/// An element with a sort key.
protocol Ordered {
    associatedtype Place: Comparable
    /// Unique within a list.
    var place: Place { get }
}

/// A sorted array in chunks. A change copies only the chunk it touches and shares the others with the array it was made
/// from, so changing one rule of a hundred thousand takes microseconds.
struct ChunkedSortedArray<Element: Ordered>: RandomAccessCollection {
    /// Elements in a chunk when it is built. A chunk that grows is split at twice as many.
    static var pieceLength: Int { 256 }

    /// No chunk is empty.
    private(set) var pieces: [[Element]] = []
    /// For each chunk, how many elements come before it.
    private var offsets: [Int] = []
    private(set) var count = 0

    init() {}

    /// - Precondition: the elements are in order.
    init(_ sorted: [Element]) {
        pieces = Self.cut(sorted[...])
        count(from: 0)
    }

    var startIndex: Int { 0 }
    var endIndex: Int { count }

    /// Searches for the chunk each time. Fine for a few look-ups; loops should iterate instead.
    subscript(position: Int) -> Element {
        var position = position
        for piece in pieces {
            if position < piece.count { return piece[position] }
            position -= piece.count
        }
        preconditionFailure("past the end")
    }

    func makeIterator() -> FlattenSequence<[[Element]]>.Iterator { pieces.joined().makeIterator() }

    /// The last element at a place or before it.
    func last(at place: Element.Place) -> Element? {
        guard let (piece, index) = location(at: place) else { return nil }
        return pieces[piece][index]
    }

    /// How many elements are before a place.
    func rank(of place: Element.Place) -> Int {
        guard let (piece, index) = location(at: place) else { return 0 }
        return offsets[piece] + index + (pieces[piece][index].place == place ? 0 : 1)
    }

    /// The elements from one place to another, both included.
    func elements(in places: ClosedRange<Element.Place>) -> [Element] {
        var found: [Element] = []
        var (piece, index) = location(at: places.lowerBound) ?? (0, 0)
        while piece < pieces.count {
            for element in pieces[piece][index...] {
                if element.place > places.upperBound { return found }
                if element.place >= places.lowerBound { found.append(element) }
            }
            (piece, index) = (piece + 1, 0)
        }
        return found
    }

    /// Replaces the elements from one place to another, both included, with new ones.
    /// - Precondition: the new elements are sorted, and the whole array stays sorted with them.
    mutating func replace(_ places: ClosedRange<Element.Place>, with new: [Element]) {
        var first = location(at: places.lowerBound)?.piece ?? 0
        var end = pieces.isEmpty ? 0 : first + 1
        while end < pieces.count, pieces[end][0].place <= places.upperBound { end += 1 }
        var joined: [Element] = []
        for piece in pieces[first..<end] { joined += piece.prefix { $0.place < places.lowerBound } }
        joined += new
        for piece in pieces[first..<end] { joined += piece.drop { $0.place <= places.upperBound } }
        // Merge small chunks with a neighbour, or an array that shrinks would end as many chunks of one element.
        if joined.count < Self.pieceLength / 4, first > 0 {
            first -= 1
            joined = pieces[first] + joined
        }
        pieces.replaceSubrange(
            first..<end, with: joined.count > 2 * Self.pieceLength ? Self.cut(joined[...]) : [joined])
        if joined.isEmpty { pieces.remove(at: first) }
        count(from: first)
    }

    /// Recomputes the offsets from a chunk on.
    private mutating func count(from first: Int) {
        offsets.removeSubrange(first...)
        count = first > 0 ? offsets[first - 1] + pieces[first - 1].count : 0
        for piece in pieces[first...] {
            offsets.append(count)
            count += piece.count
        }
    }

    /// The position of the last element at a place or before it.
    private func location(at place: Element.Place) -> (piece: Int, index: Int)? {
        let piece = Self.partition(pieces) { $0[0].place <= place }
        guard piece > 0 else { return nil }
        return (piece - 1, Self.partition(pieces[piece - 1]) { $0.place <= place } - 1)
    }

    /// The number of leading elements that satisfy `isBefore` (binary search; none after them may satisfy it).
    private static func partition<Item>(_ items: [Item], _ isBefore: (Item) -> Bool) -> Int {
        var low = 0, high = items.count
        while low < high {
            let middle = (low + high) / 2
            if isBefore(items[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func cut(_ sorted: ArraySlice<Element>) -> [[Element]] {
        stride(from: 0, to: sorted.count, by: pieceLength).map { start in
            Array(sorted.dropFirst(start).prefix(pieceLength))
        }
    }
}

extension ChunkedSortedArray: Sendable where Element: Sendable {}
