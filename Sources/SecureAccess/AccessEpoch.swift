/// Distinguishes credentials that are valid now from earlier ones. Every token of version 2 and every static credential
/// is bound to the epoch in which it was made. The epoch is not part of them, so nobody can claim another one.
public struct AccessEpoch: Hashable, Sendable, LosslessStringConvertible {
    /// When the sandbox was made, in microseconds since 1970. If an id is used again, credentials of the earlier
    /// sandbox are not valid.
    public let birth: UInt64
    /// How often access was revoked.
    public let revocations: UInt64

    public init(birth: UInt64, revocations: UInt64 = 0) {
        self.birth = birth
        self.revocations = revocations
    }

    /// For a sandbox whose directory does not know epochs.
    public static let first = AccessEpoch(birth: 0)

    /// Reads `<birth>.<revocations>`, each in base 36 and in its only form.
    public init?(_ text: String) {
        let parts = text[...].split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let birth = Base36.number(parts[0]), let revocations = Base36.number(parts[1]) else {
            return nil
        }
        self.init(birth: birth, revocations: revocations)
    }

    public var description: String { "\(Base36.text(birth)).\(Base36.text(revocations))" }
}

extension AccessEpoch: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let epoch = AccessEpoch(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "no epoch")
        }
        self = epoch
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
