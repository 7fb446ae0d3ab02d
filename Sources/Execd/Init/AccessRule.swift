import System

/// What requests have to carry.
enum AccessRule: Hashable, Sendable {
    case nothing
    case token(String)
    /// The SHA-256 of the token.
    case digest([UInt8])

    /// Reads `sha256:` and 64 hexadecimal digits.
    init?(hash text: String) {
        guard text.hasPrefix("sha256:") else { return nil }
        let digits = Array(text.utf8.dropFirst(7))
        guard digits.count == 2 * Digest256.length else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard digits[index] != UInt8(ascii: "+"), digits[index] != UInt8(ascii: "-"),
                let byte = UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16)
            else { return nil }
            bytes.append(byte)
        }
        self = .digest(bytes)
    }

    /// In the same time whatever is presented.
    func admits(_ presented: String?) -> Bool {
        switch self {
        case .nothing: true
        case .token(let token): ConstantTime.areEqual(presented ?? "", token)
        case .digest(let digest): ConstantTime.areEqual(Digest256.of(Array((presented ?? "").utf8)), digest)
        }
    }
}
