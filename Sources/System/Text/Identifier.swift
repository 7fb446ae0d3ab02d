/// Random names.
package enum Identifier {
    /// A UUID of version 4 (RFC 9562, section 5.4), in lower case.
    package static func uuid() -> String {
        let high = UInt64.random(in: 0 ... .max) & ~0xf000 | 0x4000
        let low = UInt64.random(in: 0 ... .max) & ~(3 << 62) | 1 << 63
        let digits = Array((hexadecimal(high) + hexadecimal(low)).utf8)
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32]
            .map { String(decoding: digits[$0], as: UTF8.self) }.joined(separator: "-")
    }

    private static func hexadecimal(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}
