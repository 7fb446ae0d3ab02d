/// Numbers in base 36, as route tokens have them.
enum Base36 {
    static func text(_ number: UInt64) -> String { String(number, radix: 36) }

    /// - Returns: nil for anything but the only form: small letters, no zeros in front.
    static func number(_ text: some StringProtocol) -> UInt64? {
        guard (1...13).contains(text.utf8.count), text == "0" || text.utf8.first != UInt8(ascii: "0"),
            text.utf8.allSatisfy(isDigit)
        else { return nil }
        return UInt64(text, radix: 36)
    }

    static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
    }
}

/// The alphabet of RFC 4648, section 6, in small letters: host names have no case.
enum Base32 {
    private static let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)

    /// The first `5 * characters` bits; bits beyond the end are zero.
    static func text(_ bytes: ArraySlice<UInt8>, characters: Int) -> String {
        String(unsafeUninitializedCapacity: characters) { place in
            for position in 0..<characters {
                let bit = position * 5
                let index = bytes.startIndex + bit / 8
                let high = UInt16(index < bytes.endIndex ? bytes[index] : 0) << 8
                let low = UInt16(index + 1 < bytes.endIndex ? bytes[index + 1] : 0)
                place[position] = alphabet[Int((high | low) >> (11 - bit % 8)) & 31]
            }
            return characters
        }
    }

    static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "2")...UInt8(ascii: "7")).contains(byte)
    }
}
