/// The ids of one sandbox's users and groups on this machine: 0 inside is `first` outside, and so on.
struct IdentifierRange: Codable, Hashable, Sendable {
    /// As many as images need; 65534 is nobody.
    static let size: UInt32 = 65536

    let first: UInt32

    /// nil if the last would not be a valid id, or the machine's root would be included.
    init?(first: UInt32) {
        guard first > 0, first <= UInt32.max - Self.size else { return nil }
        self.first = first
    }

    init(from decoder: any Decoder) throws {
        let first = try decoder.container(keyedBy: CodingKeys.self).decode(UInt32.self, forKey: .first)
        guard let range = IdentifierRange(first: first) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "no range of ids"))
        }
        self = range
    }

    var all: ClosedRange<UInt32> { first...(first + (Self.size - 1)) }
}

/// Whether sandboxes have user namespaces, and which ids of this machine they use.
package struct UserNamespaceSettings: Hashable, Sendable {
    package enum Mode: String, CaseIterable, Sendable {
        /// If the machine supports it.
        case auto
        /// Not without.
        case required
        case off
    }

    package var mode: Mode
    package let firstID: UInt32
    package let idCount: UInt32

    /// Ids that nobody else gives out by default, for 2046 sandboxes. useradd(8) gives users subordinate ids below
    /// 600100000, systemd's containers end at 0x6fff_ffff, and sssd's ids of directories (sssd-ldap(5),
    /// `ldap_idmap_range_max`) below 2000200000 (0x7738_a140); systemd's foreign ids begin at 0x7ffe_0000.
    package static let `default` = UserNamespaceSettings(firstID: 0x7800_0000, idCount: 2046 << 16)!

    /// nil if there is not one whole range, or the last id would not be valid.
    package init?(mode: Mode = .auto, firstID: UInt32, idCount: UInt32) {
        guard firstID > 0, idCount >= IdentifierRange.size, idCount < UInt32.max - firstID else { return nil }
        self.mode = mode
        self.firstID = firstID
        self.idCount = idCount
    }

    var rangeCount: UInt32 { idCount / IdentifierRange.size }

    /// - Parameter number: below `rangeCount`.
    func range(_ number: UInt32) -> IdentifierRange? {
        IdentifierRange(first: firstID + number * IdentifierRange.size)
    }
}
