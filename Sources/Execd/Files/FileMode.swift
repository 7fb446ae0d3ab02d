#if canImport(Glibc)
    import Glibc
#endif

/// Permission bits as the API writes them: the octal digits read as a decimal number, 0644 is `644` (docs/wire.md#files).
struct FileMode: Hashable, Sendable, Codable {
    /// The twelve permission bits.
    let bits: mode_t

    init(bits: mode_t) { self.bits = bits & 0o7777 }

    /// nil if the digits are not octal, or more than four.
    init?(digits: Int) {
        guard (0...7777).contains(digits), let bits = mode_t(String(digits), radix: 8) else { return nil }
        self.bits = bits
    }

    var digits: Int { Int(String(bits, radix: 8))! }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let digits = try container.decode(Int.self)
        guard let mode = FileMode(digits: digits) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "\(digits) is not of octal digits like 644")
        }
        self = mode
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(digits)
    }
}
