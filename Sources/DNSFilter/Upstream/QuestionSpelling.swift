/// The letter case of a forwarded question. It is random, so that an answer proves that its sender saw the question
/// (draft-vixie-dnsext-dns0x20), and independent of the sandbox's own spelling.
enum QuestionSpelling {
    /// Sets the case of the letters of a canonical wire name at `start`; the lowest bit is for the first letter.
    static func apply(_ bits: UInt64, to bytes: inout [UInt8], from start: Int, count: Int) {
        var letters: UInt64 = 0
        for index in start..<start + count where isLetter(bytes[index]) {
            if bits >> (letters & 63) & 1 != 0 { bytes[index] ^= 0x20 }
            letters += 1
        }
    }

    /// Whether a name in a response has this letter case. Compares in constant time, since the case is a secret.
    static func matches(_ spelled: [UInt8], canonical name: [UInt8], _ bits: UInt64) -> Bool {
        guard spelled.count == name.count else { return false }
        var letters: UInt64 = 0
        var difference: UInt8 = 0
        for index in name.indices {
            var expected = name[index]
            if isLetter(expected) {
                if bits >> (letters & 63) & 1 != 0 { expected ^= 0x20 }
                letters += 1
            }
            difference |= expected ^ spelled[index]
        }
        return difference == 0
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }
}
