import Addresses

/// Where a packet goes and where it comes from, read from its first bytes: IPv4 or IPv6, then TCP, UDP or ICMP.
///
/// The bytes are a sandbox's own, and may be cut off anywhere. What cannot be read is nil; nothing behind the bytes is
/// ever looked at.
public struct PacketHeader: Hashable, Sendable {
    public var source: IPAddress
    public var destination: IPAddress
    /// The IANA number of the protocol above IP; of an extension header of IPv6, if what follows it was cut off.
    public var transport: UInt8
    /// Of TCP and UDP.
    public var ports: Ports?
    /// Of ICMP in its own family.
    public var icmpType: UInt8?

    public struct Ports: Hashable, Sendable {
        public var source: UInt16
        public var destination: UInt16

        public init(source: UInt16, destination: UInt16) { (self.source, self.destination) = (source, destination) }
    }

    public init(
        source: IPAddress, destination: IPAddress, transport: UInt8, ports: Ports? = nil, icmpType: UInt8? = nil
    ) {
        (self.source, self.destination, self.transport) = (source, destination, transport)
        (self.ports, self.icmpType) = (ports, icmpType)
    }

    /// Nil unless the bytes begin with a whole header of IPv4 (RFC 791) or IPv6 (RFC 8200).
    public init?(_ bytes: [UInt8]) {
        switch (bytes.first ?? 0) >> 4 {
        case 4: self.init(ipv4: bytes)
        case 6: self.init(ipv6: bytes)
        default: return nil
        }
    }

    private init?(ipv4 bytes: [UInt8]) {
        guard bytes.count >= 20 else { return nil }
        let length = Int(bytes[0] & 0x0f) * 4
        guard length >= 20, let source = IPAddress(bytes: bytes[12..<16]),
            let destination = IPAddress(bytes: bytes[16..<20])
        else { return nil }
        self.init(source: source, destination: destination, transport: bytes[9])
        let isFirstFragment = Self.word(bytes, at: 6).map { $0 & 0x1fff == 0 } ?? false
        if isFirstFragment { readTransport(bytes, at: length) }
    }

    /// More extension headers than this are not followed. RFC 8200 has no use for more.
    private static let maximumExtensions = 8

    private init?(ipv6 bytes: [UInt8]) {
        guard bytes.count >= 40, let source = IPAddress(bytes: bytes[8..<24]),
            let destination = IPAddress(bytes: bytes[24..<40])
        else { return nil }
        self.init(source: source, destination: destination, transport: bytes[6])
        var offset = 40
        for _ in 0..<Self.maximumExtensions {
            guard let length = Self.extensionLength(transport, bytes, at: offset) else { break }
            let isFragment = transport == Extension.fragment
            guard let following = Self.byte(bytes, at: offset), let place = Self.word(bytes, at: offset + 2) else {
                return
            }
            transport = following
            offset += length
            // Only the first fragment has what is above IP.
            if isFragment, place & 0xfff8 != 0 { return }
        }
        readTransport(bytes, at: offset)
    }

    /// The headers between IPv6 and what it carries.
    private enum Extension {
        static let hopByHop: UInt8 = 0
        static let routing: UInt8 = 43
        static let fragment: UInt8 = 44
        static let authentication: UInt8 = 51
        static let destinationOptions: UInt8 = 60
    }

    /// The length of an extension header in bytes; nil if `number` is none, or if it was cut off.
    private static func extensionLength(_ number: UInt8, _ bytes: [UInt8], at offset: Int) -> Int? {
        guard let units = byte(bytes, at: offset + 1) else { return nil }
        switch number {
        case Extension.hopByHop, Extension.routing, Extension.destinationOptions: return (Int(units) + 1) * 8
        case Extension.fragment: return 8
        case Extension.authentication: return (Int(units) + 2) * 4
        default: return nil
        }
    }

    private mutating func readTransport(_ bytes: [UInt8], at offset: Int) {
        switch transport {
        case IPProtocol.tcp, IPProtocol.udp:
            guard let from = Self.word(bytes, at: offset), let to = Self.word(bytes, at: offset + 2) else { return }
            ports = Ports(source: from, destination: to)
        case destination.isIPv4 ? IPProtocol.icmp : IPProtocol.icmpv6: icmpType = Self.byte(bytes, at: offset)
        default: break
        }
    }

    private static func byte(_ bytes: [UInt8], at offset: Int) -> UInt8? {
        bytes.indices.contains(offset) ? bytes[offset] : nil
    }

    private static func word(_ bytes: [UInt8], at offset: Int) -> UInt16? {
        guard let high = byte(bytes, at: offset), let low = byte(bytes, at: offset + 1) else { return nil }
        return UInt16(high) << 8 | UInt16(low)
    }
}
