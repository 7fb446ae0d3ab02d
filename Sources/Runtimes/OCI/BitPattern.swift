/// A pattern of 32-bit numbers: those that agree with `value` in the bits of `mask`.
///
/// seccomp sees 64-bit arguments, of which the kernel uses 32 for an `int`. A rule must ignore the others, which a
/// program can set freely.
struct BitPattern: Hashable, Sendable {
    var mask: UInt32
    var value: UInt32

    func matches(_ number: UInt32) -> Bool { number & mask == value }

    static func exactly(_ number: UInt32) -> BitPattern { BitPattern(mask: .max, value: number) }

    /// Patterns that together match exactly the numbers of `prefix` that are not in `numbers`.
    ///
    /// Filters have no "else": if a call is allowed for some numbers and the error for the others is not the profile's
    /// default, these need rules of their own.
    static func all(of prefix: BitPattern, but numbers: Set<UInt32>) -> [BitPattern] {
        uncovered(numbers.filter(prefix.matches), below: prefix)
    }

    /// Patterns that together match all numbers with at least one of the bits set.
    static func any(of bits: UInt32) -> [BitPattern] {
        var seen: UInt32 = 0
        return (0..<32).map { UInt32(1) << $0 }.filter { bits & $0 != 0 }.map { bit in
            defer { seen |= bit }
            return BitPattern(mask: seen | bit, value: bit)
        }
    }

    /// Splits a prefix in halves until a half contains none of the numbers.
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
