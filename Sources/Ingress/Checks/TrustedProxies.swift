import Addresses
import NIOHTTP1

/// The addresses of proxies in front of the gateway, whose forwarding fields are believed. Without any,
/// `X-Forwarded-For` is ignored.
package struct TrustedProxies: Hashable, Sendable {
    private let blocks: [CIDRBlock]

    package static let none = TrustedProxies()

    private init() { blocks = [] }

    /// - Parameter texts: addresses or blocks, `192.0.2.1` or `2001:db8::/32`.
    /// - Returns: nil if one is neither.
    package init?(_ texts: [String]) {
        var blocks: [CIDRBlock] = []
        for text in texts {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count <= 2, let address = Self.address(String(parts[0])) else { return nil }
            guard parts.count == 2 else {
                blocks.append(CIDRBlock(address))
                continue
            }
            // Bits after the prefix are ignored; they cannot make a block larger.
            guard let length = Int(parts[1]), let block = CIDRBlock(address, prefixLength: length) else { return nil }
            blocks.append(block)
        }
        self.blocks = blocks
    }

    /// The client of a request: the peer or, behind trusted proxies, the last address that is not one of them.
    func client(of headers: HTTPHeaders, peer: String?) -> String? {
        guard !blocks.isEmpty, let peer, trusts(peer) else { return peer }
        var client = peer
        for text in headers[canonicalForm: "x-forwarded-for"].reversed() {
            let address = String(text)
            // Ignore a value that is not an address, and everything before it, which nobody trusted has added.
            guard Self.address(address) != nil else { return client }
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

    func trusts(_ text: String) -> Bool {
        guard !blocks.isEmpty, let address = Self.address(text) else { return false }
        return blocks.contains { $0.contains(address) }
    }

    /// An IPv4-mapped IPv6 address counts as IPv4.
    private static func address(_ text: String) -> IPAddress? { IPAddress(text)?.unmapped }
}
