/// A packet that a rule with `log group …` has reported (NFULNL_MSG_PACKET of nfnetlink_log).
public struct LoggedPacket: Hashable, Sendable {
    /// The `prefix` of the rule.
    public var prefix: String
    /// The packet from its IP header on, as many bytes of it as the rule asks for; a frame that is not IP from where it
    /// begins.
    public var bytes: [UInt8]

    public init(prefix: String, bytes: [UInt8]) { (self.prefix, self.bytes) = (prefix, bytes) }

    /// NFNL_SUBSYS_ULOG
    static let subsystem: UInt16 = 4 << 8
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
        if reply.payload.first == Self.netdev { bytes = Self.withoutLinkHeader(bytes) }
    }

    /// A chain of a device sees frames with what the link puts in front: nothing, or an Ethernet header of 14 bytes, 18 with a
    /// VLAN's tag, which ends with the kind of what follows. Taken from the frame itself, as its receiver would.
    static func withoutLinkHeader(_ frame: [UInt8]) -> [UInt8] {
        let ipv4: [UInt8] = [0x08, 0x00], ipv6: [UInt8] = [0x86, 0xdd]
        for length in [14, 18] where frame.count >= length {
            let kind = Array(frame[length - 2..<length])
            if kind == ipv4 || kind == ipv6 { return Array(frame[length...]) }
        }
        return frame
    }

    /// The packets in one datagram of the kernel.
    static func parse(_ datagram: [UInt8]) -> [LoggedPacket] {
        NetlinkReply.parse(datagram[...]).compactMap { LoggedPacket($0) }
    }
}
