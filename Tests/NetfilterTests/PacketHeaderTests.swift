import Addresses
import Testing

@testable import Netfilter

/// Headers of packets that a sandbox chose, cut off where the kernel cuts them.
@Suite struct PacketHeaderTests {
    /// 198.51.100.1:443 from 10.99.0.2:40000
    static func ipv4(
        _ transport: UInt8, options: Int = 0, fragment: UInt16 = 0, then rest: [UInt8] = [0x9c, 0x40, 0x01, 0xbb]
    ) -> [UInt8] {
        [0x45 + UInt8(options), 0, 0, 40, 0, 1, UInt8(fragment >> 8), UInt8(fragment & 0xff), 64, transport, 0, 0]
            + [10, 99, 0, 2, 198, 51, 100, 1] + [UInt8](repeating: 1, count: options * 4) + rest
    }

    /// [2001:db8::1]:443 from [fd00:99::2]:40000
    static func ipv6(_ next: UInt8, then rest: [UInt8] = [0x9c, 0x40, 0x01, 0xbb]) -> [UInt8] {
        [0x60, 0, 0, 0, 0, 4, next, 64] + IPAddress("fd00:99::2")!.bytes + IPAddress("2001:db8::1")!.bytes + rest
    }

    private static let ports = PacketHeader.Ports(source: 40000, destination: 443)
    private static let portBytes: [UInt8] = [0x9c, 0x40, 0x01, 0xbb]

    @Test(arguments: [IPProtocol.tcp, IPProtocol.udp]) func `both ends of TCP and UDP are read`(_ transport: UInt8) {
        let four = PacketHeader(Self.ipv4(transport))
        #expect(four?.source == IPAddress("10.99.0.2") && four?.destination == IPAddress("198.51.100.1"))
        #expect(four?.transport == transport && four?.ports == Self.ports)
        #expect(PacketHeader(Self.ipv4(transport, options: 10))?.ports == Self.ports, "behind options")
        let six = PacketHeader(Self.ipv6(transport))
        #expect(six?.source == IPAddress("fd00:99::2") && six?.destination == IPAddress("2001:db8::1"))
        #expect(six?.transport == transport && six?.ports == Self.ports)
    }

    @Test func `ICMP has a type in its own family, and other protocols have a number`() {
        #expect(PacketHeader(Self.ipv4(IPProtocol.icmp, then: [8, 0]))?.icmpType == 8)
        #expect(PacketHeader(Self.ipv6(IPProtocol.icmpv6, then: [128, 0]))?.icmpType == 128)
        #expect(PacketHeader(Self.ipv4(IPProtocol.icmpv6, then: [128, 0]))?.icmpType == nil)
        let other = PacketHeader(Self.ipv4(47))
        #expect(other?.transport == 47 && other?.ports == nil && other?.icmpType == nil)
    }

    @Test func `what follows IPv6's extension headers is found`() {
        let hop: [UInt8] = [60, 0, 0, 0, 0, 0, 0, 0], options: [UInt8] = [51, 1] + [UInt8](repeating: 0, count: 14)
        let authentication: [UInt8] = [44, 4] + [UInt8](repeating: 0, count: 22)
        let fragment: [UInt8] = [6, 0, 0, 1, 0, 0, 0, 9]
        let packet = Self.ipv6(0, then: hop + options + authentication + fragment + Self.portBytes)
        #expect(PacketHeader(packet)?.transport == IPProtocol.tcp && PacketHeader(packet)?.ports == Self.ports)
    }

    @Test func `a later fragment has no ports, whatever its bytes look like`() {
        #expect(PacketHeader(Self.ipv4(IPProtocol.udp, fragment: 1))?.ports == nil)
        #expect(PacketHeader(Self.ipv4(IPProtocol.udp, fragment: 0x2000))?.ports == Self.ports, "the first one has")
        let later = PacketHeader(Self.ipv6(44, then: [17, 0, 0, 8, 0, 0, 0, 9] + Self.portBytes))
        #expect(later?.transport == IPProtocol.udp && later?.ports == nil)
    }

    @Test func `extension headers without an end are not followed for ever`() {
        let many = (0..<64).flatMap { _ in [UInt8](arrayLiteral: 60, 0, 0, 0, 0, 0, 0, 0) }
        #expect(PacketHeader(Self.ipv6(60, then: many + Self.portBytes))?.ports == nil)
    }

    @Test func `cut off anywhere, nothing is invented`() {
        for whole in [
            Self.ipv4(IPProtocol.tcp, options: 3), Self.ipv6(0, then: [6, 0, 0, 0, 0, 0, 0, 0] + Self.portBytes),
        ] {
            let header = PacketHeader(whole)
            #expect(header?.ports == Self.ports)
            for length in 0..<whole.count {
                let cut = PacketHeader(Array(whole[..<length]))
                #expect(cut == nil || cut?.ports == nil, "\(length) bytes")
                #expect(cut == nil || cut?.destination == header?.destination)
            }
        }
        #expect(PacketHeader([]) == nil)
        #expect(PacketHeader([UInt8](repeating: 0x50, count: 60)) == nil, "version 5")
        #expect(PacketHeader([0x44] + [UInt8](repeating: 0, count: 60)) == nil, "a header of 16 bytes")
    }
}
