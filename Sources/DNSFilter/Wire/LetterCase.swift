/// Which letters of a wire name are capitals: with the canonical name, the name as it was asked for.
struct LetterCase: Hashable, Sendable {
    /// A bit for each of 255 bytes.
    private var capitals = SIMD4<UInt64>()

    init() {}

    /// - Precondition: it is a wire name, of 255 bytes at most. Lengths are below 64, so that they are never taken for letters.
    init(of name: [UInt8]) {
        for index in name.indices where (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(name[index]) {
            capitals[index >> 6] |= 1 << UInt64(index & 63)
        }
    }

    /// Gives a canonical name, which stands at `start`, the letters that it was asked for with.
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
