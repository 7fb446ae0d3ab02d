/// The secret of one sandbox's policy API: 256 random bits as lower-case hexadecimal.
package enum PolicyToken {
    /// The header that carries it (docs/wire.md#policy).
    package static let header = "OPENSANDBOX-EGRESS-AUTH"
    package static let length = 64

    package static func generate(using random: inout some RandomNumberGenerator) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for _ in 0..<(length / 16) {
            var word = random.next()
            for _ in 0..<16 {
                text.append(digits[Int(word & 15)])
                word >>= 4
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
