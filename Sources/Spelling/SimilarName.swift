/// Recognises misspelt names of fields, settings, variables and parameters.
///
/// Ignoring an unknown name is dangerous if it was meant to protect: `secureaccess` instead of `secureAccess` would
/// leave a sandbox open.
package enum SimilarName {
    /// The known name from which `name` differs only in case, separators (`_`, `-`, `.`, spaces) or one letter (added,
    /// missing, changed, or two swapped). Nil if it is known, or similar to none.
    package static func misspelt(_ name: String, of known: some Sequence<String>) -> String? {
        let folded = fold(name)
        var found: String?
        for candidate in known {
            if candidate == name { return nil }
            if found == nil, areOneStepApart(folded, fold(candidate)) { found = candidate }
        }
        return found
    }

    /// The known name nearest to `name`, for a hint; nil if none is similar.
    package static func nearest(to name: String, among known: some Sequence<String>) -> String? {
        let folded = fold(name)
        var best: (name: String, distance: Int)?
        for candidate in known.sorted() {
            let other = fold(candidate)
            // Names that share less than half of their letters are not similar.
            let limit = min(best?.distance ?? .max, max(folded.count, other.count) / 2 + 1) - 1
            if let distance = distance(folded, other, atMost: limit) { best = (candidate, distance) }
        }
        return best?.name
    }

    /// Longer names are similar to none.
    private static let maxLength = 128

    private static func fold(_ name: String) -> [UInt8] {
        var folded: [UInt8] = []
        for byte in name.utf8.prefix(maxLength + 1) {
            switch byte {
            case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: " "): break
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): folded.append(byte | 0x20)
            default: folded.append(byte)
            }
        }
        return folded
    }

    private static func areOneStepApart(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        let (short, long) = left.count <= right.count ? (left, right) : (right, left)
        guard long.count - short.count <= 1, long.count <= maxLength else { return false }
        guard let first = short.indices.first(where: { short[$0] != long[$0] }) else { return true }
        let rest = short[(first + 1)...]
        if short.count < long.count { return short[first...].elementsEqual(long[(first + 1)...]) }
        return rest.elementsEqual(long[(first + 1)...])
            || (first + 1 < short.count && short[first] == long[first + 1] && short[first + 1] == long[first]
                && short[(first + 2)...].elementsEqual(long[(first + 2)...]))
    }

    /// The edit distance (insertions, deletions, changes, swaps of neighbours); nil if more than `limit`.
    private static func distance(_ left: [UInt8], _ right: [UInt8], atMost limit: Int) -> Int? {
        guard left.count <= maxLength, right.count <= maxLength, abs(left.count - right.count) <= limit else {
            return nil
        }
        var before: [Int] = [], row = Array(0...right.count)
        for (i, letter) in left.enumerated() {
            var next = [i + 1]
            for (j, other) in right.enumerated() {
                var cost = min(row[j + 1] + 1, next[j] + 1, row[j] + (letter == other ? 0 : 1))
                if i > 0, j > 0, letter == right[j - 1], left[i - 1] == other { cost = min(cost, before[j - 1] + 1) }
                next.append(cost)
            }
            (before, row) = (row, next)
        }
        return row[right.count] <= limit ? row[right.count] : nil
    }
}
