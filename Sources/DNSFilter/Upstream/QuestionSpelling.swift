/// The case of a question's letters on its way to an upstream: random, so that an answer proves to have seen the question
/// (draft-vixie-dnsext-dns0x20). What the sandbox wrote has no part in it.
enum QuestionSpelling {
    /// Puts the letters of a canonical wire name, which stands at `start`, into the case that the bits say; the first
    /// letter by the lowest bit.
    static func apply(_ bits: UInt64, to bytes: inout [UInt8], from start: Int, count: Int) {
        var letters: UInt64 = 0
        for index in start..<start + count where isLetter(bytes[index]) {
            if bits >> (letters & 63) & 1 != 0 { bytes[index] ^= 0x20 }
            letters += 1
        }
    }

    /// Whether a name of a response is spelled so. Compared to the end, whatever differs: it is a secret of a kind.
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
