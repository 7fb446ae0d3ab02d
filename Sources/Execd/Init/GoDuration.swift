/// A length of time as Go writes it: `200ms`, `1.5s`, `1h30m`. Never negative.
struct GoDuration: Hashable, Sendable {
    let nanoseconds: Int64
    /// At least 1 of any time that is not 0.
    var milliseconds: Int64 { (nanoseconds + 999_999) / 1_000_000 }

    private static let units: [(name: String, nanoseconds: Double)] = [
        ("ns", 1), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9),
    ]
    /// Ten years: longer ones are mistakes, and need not fit.
    private static let longest = 315_360_000e9

    init?(_ text: String) {
        if text == "0" {
            nanoseconds = 0
            return
        }
        var rest = text.utf8[...], sum = 0.0
        guard (1...64).contains(rest.count) else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }
            rest = rest.dropFirst(digits.count)
            let letters = rest.prefix { !(0x30...0x39).contains($0) && $0 != UInt8(ascii: ".") }
            rest = rest.dropFirst(letters.count)
            guard digits.contains(where: { $0 != UInt8(ascii: ".") }), let number = Double(Substring(digits)),
                let unit = Self.units.first(where: { $0.name.utf8.elementsEqual(letters) })
            else { return nil }
            sum += number * unit.nanoseconds
        }
        guard sum <= Self.longest else { return nil }
        nanoseconds = Int64(sum)
    }
}
