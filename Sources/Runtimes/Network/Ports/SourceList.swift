import Addresses

/// Who may connect: an address of an allowed block that no denied block has. Nobody, where no block is allowed.
package struct SourceList: Hashable, Sendable {
    package var allow: [CIDRBlock]
    package var deny: [CIDRBlock]

    /// How many blocks a list may have, since every one is a rule of the kernel for each port.
    package static let maxBlocks = 32

    package init(allow: [CIDRBlock], deny: [CIDRBlock] = []) {
        self.allow = allow
        self.deny = deny
    }

    /// This machine alone.
    package static let machine = SourceList(allow: [CIDRBlock("127.0.0.0/8")!, CIDRBlock("::1")!])

    package func permits(_ address: IPAddress) -> Bool {
        allow.contains { $0.contains(address) } && !deny.contains { $0.contains(address) }
    }

    /// Those that both lists permit.
    package func limited(to other: SourceList) -> SourceList {
        var both: [CIDRBlock] = []
        for block in allow {
            for limit in other.allow {
                // Two blocks share an address only if one of them is in the other.
                let shared =
                    limit.contains(block.base) && limit.prefixLength <= block.prefixLength
                    ? block : block.contains(limit.base) && block.prefixLength <= limit.prefixLength ? limit : nil
                if let shared, !both.contains(shared) { both.append(shared) }
            }
        }
        return SourceList(allow: both, deny: deny + other.deny.filter { !deny.contains($0) })
    }
}

extension SourceList: Codable {
    private enum CodingKeys: String, CodingKey { case allow, deny }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        func blocks(_ key: CodingKeys) throws -> [CIDRBlock] {
            try values.decode([String].self, forKey: key).map { text in
                guard let block = CIDRBlock(text) else {
                    throw DecodingError.dataCorruptedError(forKey: key, in: values, debugDescription: "no block")
                }
                return block
            }
        }
        (allow, deny) = (try blocks(.allow), try blocks(.deny))
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(allow.map(\.description), forKey: .allow)
        try values.encode(deny.map(\.description), forKey: .deny)
    }
}
