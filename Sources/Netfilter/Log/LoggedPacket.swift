/// A packet that a rule with `log group …` has reported (NFULNL_MSG_PACKET of nfnetlink_log).
public struct LoggedPacket: Hashable, Sendable {
    /// The `prefix` of the rule.
    public var prefix: String
    /// The packet from its IP header on, as many bytes of it as the rule asks for; none of a frame that is not IP.
    public var bytes: [UInt8]

    public init(prefix: String, bytes: [UInt8]) { (self.prefix, self.bytes) = (prefix, bytes) }

    /// NFNL_SUBSYS_ULOG
    static let subsystem: UInt16 = 4 << 8
    private static let headerAttribute: UInt16 = 1  // NFULA_PACKET_HDR, whose first two bytes are the protocol
    private static let prefixAttribute: UInt16 = 10  // NFULA_PREFIX
    private static let payloadAttribute: UInt16 = 9  // NFULA_PAYLOAD
    private static let netdev: UInt8 = 5  // NFPROTO_NETDEV
    /// The family, a version, and the group.
    private static let fixedPart = 4

    /// Nil for other messages, and for one without a prefix.
    init?(_ reply: NetlinkReply) {
        guard reply.type == Self.subsystem, reply.payload.count >= Self.fixedPart else { return nil }
        let attributes = reply.attributes(after: Self.fixedPart)
        guard let prefix = attributes[Self.prefixAttribute] else { return nil }
        self.init(
            prefix: String(decoding: prefix.prefix { $0 != 0 }, as: UTF8.self),
            bytes: attributes[Self.payloadAttribute].map(Array.init) ?? [])
        if reply.payload.first == Self.netdev {
            let kind: UInt16? = attributes[Self.headerAttribute].flatMap { header in
                header.count >= 2 ? UInt16(bigEndian: header.number(at: 0, as: UInt16.self)) : nil
            }
            bytes = Self.withoutLinkHeader(bytes, kind: kind)
        }
    }

    /// A chain of a device sees frames with what the link puts in front: nothing, or an Ethernet header of 14 bytes, 18 with a
    /// VLAN's tag, which ends with the kind of what follows. Taken from the frame itself, as its receiver would.
    /// - Parameter kind: what the kernel takes the frame for, which is what its sender said: it counts only where there is
    ///   no link header.
    /// - Returns: nothing where it is not sure that an IP header follows: a link's addresses are not to be read as one.
    static func withoutLinkHeader(_ frame: [UInt8], kind: UInt16?) -> [UInt8] {
        let ipv4: UInt16 = 0x0800, ipv6: UInt16 = 0x86dd, tagged: [UInt16] = [0x8100, 0x88a8]
        func word(endingAt end: Int) -> UInt16? {
            frame.count >= end ? UInt16(frame[end - 2]) << 8 | UInt16(frame[end - 1]) : nil
        }
        let outer = word(endingAt: 14)
        let length = outer.map { tagged.contains($0) } == true ? 18 : 14
        if let inner = word(endingAt: length), inner == ipv4 || inner == ipv6 { return Array(frame[length...]) }
        // A link without a header.
        guard let version = frame.first.map({ $0 >> 4 }) else { return [] }
        return (kind == ipv4 && version == 4) || (kind == ipv6 && version == 6) ? frame : []
    }

    /// The packets in one datagram of the kernel.
    static func parse(_ datagram: [UInt8]) -> [LoggedPacket] {
        NetlinkReply.parse(datagram[...]).compactMap { LoggedPacket($0) }
    }
}
