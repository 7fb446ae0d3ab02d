/// Numbers in base 36 as in route tokens: lower case, one canonical form for each number.
enum Base36 {
    static func text(_ number: UInt64) -> String { String(number, radix: 36) }

    /// Appends a number's text, in base 36 or a smaller one. `String` takes several times as long.
    static func append(_ number: UInt64, to text: inout [UInt8], radix: UInt64 = 36) {
        let start = text.count
        var rest = number
        repeat {
            let digit = UInt8(truncatingIfNeeded: rest % radix)
            text.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            rest /= radix
        } while rest > 0
        text[start...].reverse()
    }

    /// - Returns: nil for anything but the canonical form, which has no leading zeros.
    static func number(_ text: Substring) -> UInt64? {
        var text = text
        return text.withUTF8 { number($0) }
    }

    static func number(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64? {
        guard (1...13).contains(bytes.count), bytes.first != UInt8(ascii: "0") || bytes.count == 1 else { return nil }
        var number: UInt64 = 0
        for byte in bytes {
            guard let digit = digit(byte) else { return nil }
            let (product, tooLarge) = number.multipliedReportingOverflow(by: 36)
            let (sum, overflow) = product.addingReportingOverflow(UInt64(digit))
            guard !tooLarge, !overflow else { return nil }
            number = sum
        }
        return number
    }

    static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}

/// Codes as text: hexadecimal, or base 32 (RFC 4648, section 6) in lower case, since host names ignore case. The last
/// digit is padded with zero bits, and no other padding is accepted.
struct CodeAlphabet: Sendable {
    let digits: [UInt8]
    /// Bits in one digit.
    let bits: Int

    static let base16 = CodeAlphabet(digits: Array("0123456789abcdef".utf8), bits: 4)
    static let base32 = CodeAlphabet(digits: Array("abcdefghijklmnopqrstuvwxyz234567".utf8), bits: 5)

    private let values: [UInt8]
    private static let none: UInt8 = 255

    private init(digits: [UInt8], bits: Int) {
        self.digits = digits
        self.bits = bits
        var values = [UInt8](repeating: Self.none, count: 256)
        for (value, digit) in digits.enumerated() { values[Int(digit)] = UInt8(value) }
        self.values = values
    }

    func value(_ digit: UInt8) -> UInt8? {
        let value = values[Int(digit)]
        return value == Self.none ? nil : value
    }

    /// - Parameter count: how many of the number's low bits are the code.
    func text(_ code: UInt128, bits count: Int) -> String {
        let characters = (count + bits - 1) / bits, filling = characters * bits - count
        return String(unsafeUninitializedCapacity: characters) { place in
            for position in 0..<characters {
                let shift = (characters - 1 - position) * bits - filling
                let digit = shift >= 0 ? code >> UInt128(shift) : code << UInt128(-shift)
                place[position] = digits[Int(truncatingIfNeeded: digit) & (1 << bits - 1)]
            }
            return characters
        }
    }

    func number(_ text: UnsafeBufferPointer<UInt8>, bits count: Int) -> UInt128? {
        let filling = text.count * bits - count
        var left = text.count, code: UInt128 = 0
        for byte in text {
            let value = values[Int(byte)]
            guard value != Self.none else { return nil }
            left -= 1
            if left == 0 && filling > 0 {
                guard value & (1 << UInt8(filling) - 1) == 0 else { return nil }
                code = code << UInt128(bits - filling) | UInt128(value >> UInt8(filling))
            } else {
                code = code << UInt128(bits) | UInt128(value)
            }
        }
        return code
    }
}
