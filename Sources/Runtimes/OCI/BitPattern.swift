/// Numbers of 32 bits that have some bits in common: those of `mask` are as in `value`.
///
/// seccomp sees arguments with 64 bits, of which the kernel takes 32 for an `int`. A rule must not look at the others: a
/// program sets them as it likes.
struct BitPattern: Hashable, Sendable {
    var mask: UInt32
    var value: UInt32

    func matches(_ number: UInt32) -> Bool { number & mask == value }

    static func exactly(_ number: UInt32) -> BitPattern { BitPattern(mask: .max, value: number) }

    /// Patterns of which one matches each number of `prefix` that is not in `numbers`, and none those that are.
    ///
    /// Filters have no "else": a call that is allowed for some numbers needs rules of its own for all the others, where
    /// their error is not the profile's default.
    static func all(of prefix: BitPattern, but numbers: Set<UInt32>) -> [BitPattern] {
        uncovered(numbers.filter(prefix.matches), below: prefix)
    }

    /// Patterns of which one matches each number that has one of the bits set.
    static func any(of bits: UInt32) -> [BitPattern] {
        var seen: UInt32 = 0
        return (0..<32).map { UInt32(1) << $0 }.filter { bits & $0 != 0 }.map { bit in
            defer { seen |= bit }
            return BitPattern(mask: seen | bit, value: bit)
        }
    }

    /// Halves what a prefix covers until a half has none of the numbers.
    private static func uncovered(_ numbers: Set<UInt32>, below prefix: BitPattern) -> [BitPattern] {
        if numbers.isEmpty { return [prefix] }
        guard prefix.mask != .max else { return [] }
        let bit = UInt32(1) << (31 - prefix.mask.leadingOnes)
        return [0, bit].flatMap { half in
            let narrower = BitPattern(mask: prefix.mask | bit, value: prefix.value | half)
            return uncovered(numbers.filter(narrower.matches), below: narrower)
        }
    }
}

extension UInt32 {
    fileprivate var leadingOnes: Int { (~self).leadingZeroBitCount }
}
