/// A duration as people write it: `90s`, `10m`, `1h`, `7d`.
package enum DurationText {
    private static let units: [Character: Int] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]

    /// - Returns: seconds, up to ten years; nil for what is none.
    package static func seconds(_ text: String) -> Int? {
        guard let unit = text.last.flatMap({ units[$0] }), text.utf8.count <= 12,
            text.dropLast().utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(text.dropLast()),
            number <= RequestLimits.maxLife / unit
        else { return nil }
        return number * unit
    }
}
