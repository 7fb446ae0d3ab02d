/// Selects lines from a stream of bytes, joined by line breaks, without one at the end.
struct LineSelector: Sendable {
    /// Lines still to be skipped.
    private var skipped: Int
    private var left: Int
    /// A line break that belongs to the text only if another line follows.
    private var hasDeferredBreak = false

    /// - Parameters: the first line, counted from 1; the number of lines, nil for all.
    init(first: Int, count: Int?) {
        skipped = first - 1
        left = count ?? .max
    }

    /// Whether nothing more will be selected.
    var isDone: Bool { left == 0 }

    /// The part of the selected lines that is in `bytes`.
    mutating func select(_ bytes: [UInt8]) -> [UInt8] {
        var selected: [UInt8] = []
        var rest = bytes[...]
        while !rest.isEmpty, left > 0 {
            let end = rest.firstIndex(of: UInt8(ascii: "\n"))
            let line = rest[..<(end ?? rest.endIndex)]
            rest = rest[(end.map { $0 + 1 } ?? rest.endIndex)...]
            if skipped == 0 {
                if hasDeferredBreak { selected.append(UInt8(ascii: "\n")) }
                selected += line
                hasDeferredBreak = end != nil
            }
            guard end != nil else { break }
            if skipped > 0 { skipped -= 1 } else { left -= 1 }
        }
        return selected
    }
}
