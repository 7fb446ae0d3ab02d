/// What a `Range` header asks for (RFC 9110, section 14.1.2).
enum ByteRange: Hashable, Sendable {
    /// No range, another unit, or several ranges, which a server may answer with everything.
    case whole
    case part(Range<Int>)
    /// Malformed, or entirely outside the file.
    case unsatisfiable

    /// - Parameter size: the file's size in bytes.
    init(header: String?, size: Int) {
        guard let header, header.lowercased().hasPrefix("bytes=") else {
            self = .whole
            return
        }
        let text = header.dropFirst(6)
        guard !text.contains(",") else {
            self = .whole
            return
        }
        let bounds = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map(Self.trimmed)
        guard bounds.count == 2, let range = Self.range(bounds[0], bounds[1], size: size) else {
            self = .unsatisfiable
            return
        }
        self = .part(range)
    }

    private static func range(_ first: Substring, _ last: Substring, size: Int) -> Range<Int>? {
        if first.isEmpty {
            guard let length = number(last), length > 0, size > 0 else { return nil }
            return max(0, size - length)..<size
        }
        guard let start = number(first), start < size else { return nil }
        guard !last.isEmpty else { return start..<size }
        guard let end = number(last), end >= start else { return nil }
        return start..<(end < size ? end + 1 : size)
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let start = text.drop { $0 == " " || $0 == "\t" }
        return start.prefix { $0 != " " && $0 != "\t" }
    }

    /// Digits only. A number that is too large is beyond the end of any file.
    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(text) ?? .max
    }
}
