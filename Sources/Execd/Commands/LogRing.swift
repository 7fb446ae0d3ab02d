/// Where the bytes of a log stand in its file, which is written round and round when it is full. A value without I/O.
struct LogRing: Hashable, Sendable {
    /// What a log may use without asking.
    static let firstBytes = 64 << 10
    /// By how much it grows.
    static let step = 1 << 20

    /// A part of the file.
    struct Piece: Hashable, Sendable {
        var place: Int
        var count: Int
    }

    let maxBytes: Int
    /// Bytes of the file that are used. It does not change any more once the first byte has been written over.
    private(set) var capacity: Int
    /// The offset behind the last byte: how many there have been.
    private(set) var end = 0
    /// The offset of the oldest byte that is kept.
    private(set) var start = 0
    /// What was granted beyond `firstBytes`.
    private(set) var granted = 0
    private var mayGrow = true

    init(maxBytes: Int) {
        self.maxBytes = maxBytes
        capacity = min(maxBytes, Self.firstBytes)
    }

    /// Makes place for more bytes.
    /// - Parameter grant: asked for more of the disk, in bytes.
    /// - Returns: how many of the first of them are not kept, and where the others are to be written, in their order.
    mutating func append(_ count: Int, grant: (Int) -> Bool) -> (skipped: Int, pieces: [Piece]) {
        while mayGrow, end + count > capacity {
            let more = min(Self.step, maxBytes - capacity)
            mayGrow = more > 0 && grant(more)
            guard mayGrow else { break }
            capacity += more
            granted += more
        }
        let skipped = max(0, count - capacity)
        end += count
        start = max(start, end - capacity)
        return (skipped, pieces(end - count + skipped..<end))
    }

    /// Where kept bytes stand.
    func pieces(_ range: Range<Int>) -> [Piece] {
        guard !range.isEmpty else { return [] }
        let place = range.lowerBound % capacity, first = min(range.count, capacity - place)
        return [Piece(place: place, count: first), Piece(place: 0, count: range.count - first)].filter { $0.count > 0 }
    }

    /// The disk has no more room: what is there is used again from now on.
    /// - Returns: whether that can be of use.
    mutating func stopGrowing() -> Bool {
        mayGrow = false
        guard end < capacity, end >= Self.firstBytes / 4 else { return false }
        capacity = end
        return true
    }

    /// So many bytes could not be written.
    mutating func lose(_ count: Int) {
        end += count
        start = end
    }
}
