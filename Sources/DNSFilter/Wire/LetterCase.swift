/// Which letters of a wire name are capitals. Together with the canonical name it gives the name as it was asked for.
struct LetterCase: Hashable, Sendable {
    /// One bit for each of 255 bytes.
    private var capitals = SIMD4<UInt64>()

    init() {}

    /// - Precondition: a wire name of at most 255 bytes. Label lengths are below 64, so they are never taken for
    ///   letters.
    init(of name: [UInt8]) {
        for index in name.indices where (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(name[index]) {
            capitals[index >> 6] |= 1 << UInt64(index & 63)
        }
    }

    /// Restores the letter case of a canonical name at `start`.
    func apply(to bytes: inout [UInt8], from start: Int) {
        for word in 0..<4 {
            var rest = capitals[word]
            while rest != 0 {
                bytes[start + 64 * word + rest.trailingZeroBitCount] ^= 0x20
                rest &= rest - 1
            }
        }
    }
}
