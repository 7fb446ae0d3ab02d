/// Replaces every occurrence of a text by another. Works on bytes, since a file need not be UTF-8.
struct TextReplacement: Decodable, Hashable, Sendable {
    var old: String
    var new: String

    /// The largest file in bytes, since it is held in memory.
    static let maxFile = 64 << 20

    /// - Returns: the new bytes and the number of occurrences, from the left, without overlaps.
    func apply(to bytes: [UInt8]) -> (bytes: [UInt8], count: Int) {
        let old = Array(self.old.utf8), new = Array(self.new.utf8)
        guard let first = old.first, bytes.count >= old.count else { return (bytes, 0) }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var count = 0, copied = 0, position = 0
        while position <= bytes.count - old.count, let candidate = bytes[position...].firstIndex(of: first) {
            guard candidate <= bytes.count - old.count else { break }
            guard bytes[candidate..<candidate + old.count].elementsEqual(old) else {
                position = candidate + 1
                continue
            }
            result += bytes[copied..<candidate]
            result += new
            count += 1
            position = candidate + old.count
            copied = position
        }
        guard count > 0 else { return (bytes, 0) }
        return (result + bytes[copied...], count)
    }
}
