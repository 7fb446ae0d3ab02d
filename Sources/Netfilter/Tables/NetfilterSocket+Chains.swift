/// A base chain, whichever program made it.
public struct FoundChain: Hashable, Sendable, CustomStringConvertible {
    /// The name in nft(8): `ip`, `ip6`, `inet`, …
    public var family: String
    public var table: String
    public var name: String
    public var dropsByDefault: Bool

    /// `ip filter FORWARD`
    public var description: String { "\(family) \(table) \(name)" }
}

extension NetfilterSocket {
    /// The base chains of a hook in the namespace's tables for IPv4, IPv6 or both. `nft list chains`
    public func baseChains(at hook: BaseChain.Hook) throws(NetfilterError) -> [FoundChain] {
        let families: [UInt8: String] = [1: "inet", 2: "ip", 10: "ip6"]
        let request = NetlinkMessage(type: Self.subsystem | 4, flags: NetlinkFlag.dump, body: [0, 0, 0, 0])
        return try socket.dump("listing chains", request) { reply -> FoundChain? in
            let attributes = reply.attributes(after: 4)
            guard let family = reply.payload.first.flatMap({ families[$0] }), let table = Self.text(attributes[1]),
                let name = Self.text(attributes[3]), let place = attributes[4].map(NetlinkReply.attributes),
                Self.number(place[1]) == hook.rawValue
            else { return nil }
            return FoundChain(
                family: family, table: table, name: name, dropsByDefault: Self.number(attributes[5]) == 0)
        }
    }

    private static func text(_ bytes: ArraySlice<UInt8>?) -> String? {
        bytes.map { String(decoding: $0.dropLast(), as: UTF8.self) }
    }

    private static func number(_ bytes: ArraySlice<UInt8>?) -> UInt32? {
        guard let bytes, bytes.count == 4 else { return nil }
        return UInt32(bigEndian: bytes.number(at: 0, as: UInt32.self))
    }
}
