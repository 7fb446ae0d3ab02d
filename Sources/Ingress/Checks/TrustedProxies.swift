import NIOHTTP1

#if canImport(Glibc)
    import Glibc
#endif

/// Proxies in front of the gateway whose `X-Forwarded-For` is trusted. Without any, the field is ignored.
public struct TrustedProxies: Hashable, Sendable {
    /// An address and the number of bits that must match.
    private struct Block: Hashable, Sendable {
        var bytes: [UInt8]
        var bits: Int

        func contains(_ address: [UInt8]) -> Bool {
            guard address.count == bytes.count else { return false }
            for index in 0..<bytes.count {
                let left = bits - 8 * index
                guard left > 0 else { break }
                let mask: UInt8 = left >= 8 ? 0xFF : ~(0xFF >> UInt8(left))
                guard address[index] & mask == bytes[index] & mask else { return false }
            }
            return true
        }
    }

    private let blocks: [Block]

    public static let none = TrustedProxies()

    private init() { blocks = [] }

    /// - Parameter texts: addresses or blocks, `192.0.2.1` or `2001:db8::/32`.
    /// - Returns: nil if one is neither.
    public init?(_ texts: [String]) {
        var blocks: [Block] = []
        for text in texts {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count <= 2, let bytes = Self.bytes(String(parts[0])) else { return nil }
            var bits = 8 * bytes.count
            if parts.count == 2 {
                guard let number = Int(parts[1]), (0...bits).contains(number) else { return nil }
                bits = number
            }
            blocks.append(Block(bytes: bytes, bits: bits))
        }
        self.blocks = blocks
    }

    /// The client of a request: the peer or, behind trusted proxies, the last address that is not one of them.
    func client(of headers: HTTPHeaders, peer: String?) -> String? {
        guard !blocks.isEmpty, let peer, trusts(peer) else { return peer }
        var client = peer
        for text in headers[canonicalForm: "x-forwarded-for"].reversed() {
            let address = String(text)
            // Ignore an entry that is not an address, and all before it.
            guard Self.bytes(address) != nil else { return client }
            client = address
            guard trusts(address) else { return client }
        }
        return client
    }

    /// Whether the client used TLS to reach a trusted proxy.
    func sawTLS(_ headers: HTTPHeaders, peer: String?) -> Bool {
        guard !blocks.isEmpty, let peer, trusts(peer) else { return false }
        return headers["x-forwarded-proto"] == ["https"]
    }

    func trusts(_ address: String) -> Bool {
        guard !blocks.isEmpty, let bytes = Self.bytes(address) else { return false }
        return blocks.contains { $0.contains(bytes) }
    }

    /// Four or sixteen bytes; an IPv4-mapped address becomes IPv4.
    private static func bytes(_ text: String) -> [UInt8]? {
        var v4 = in_addr(), v6 = in6_addr()
        if inet_pton(AF_INET, text, &v4) == 1 { return withUnsafeBytes(of: v4) { Array($0) } }
        guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
        let bytes = withUnsafeBytes(of: v6) { Array($0) }
        let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        return isMapped ? Array(bytes[12...]) : bytes
    }
}
