/// Splits a stream of bytes into lines, of a limited length.
package struct LineSplitter: Sendable {
    package struct LineTooLong: Error, Hashable {}

    private var rest: [UInt8] = []
    private let maxLine: Int

    /// - Parameter maxLine: the longest line in bytes.
    package init(maxLine: Int) { self.maxLine = maxLine }

    /// - Returns: the complete lines, without line breaks.
    package mutating func take(_ bytes: some Collection<UInt8>) throws(LineTooLong) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var bytes = bytes[...]
        while let end = bytes.firstIndex(of: UInt8(ascii: "\n")) {
            guard rest.count + bytes.distance(from: bytes.startIndex, to: end) <= maxLine else { throw LineTooLong() }
            lines.append(rest + bytes[..<end])
            rest.removeAll(keepingCapacity: true)
            bytes = bytes[bytes.index(after: end)...]
        }
        guard rest.count + bytes.count <= maxLine else { throw LineTooLong() }
        rest += bytes
        return lines
    }

    /// What has come since the last line break. Empty afterwards.
    package mutating func takeRest() -> [UInt8] {
        defer { rest = [] }
        return rest
    }
}
