import Addresses
import Glibc
import System
import Testing

@Suite struct RawSocketAddressTests {
    @Test(arguments: ["192.0.2.1", "255.255.255.255", "2001:db8::1", "::"], [UInt16(0), 53, 65535])
    func `address and port read back`(text: String, port: UInt16) throws {
        let address = try #require(IPAddress(text)), raw = RawSocketAddress(address, port: port)
        #expect(raw.address == address && raw.port == port)
        #expect(raw.family == (address.isIPv4 ? AF_INET : AF_INET6))
        #expect(
            raw.bytes.count == (address.isIPv4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size))
    }

    @Test func `too few bytes are no address`() {
        for count in 0..<24 {
            let raw = RawSocketAddress(bytes: [UInt8](repeating: UInt8(AF_INET6), count: count))
            #expect(raw.address == nil)
        }
    }

    @Test(arguments: ["127.0.0.1", "::1"])
    func `the kernel takes them, and says where a socket is bound`(text: String) throws {
        let address = try #require(IPAddress(text)), kind = CInt(SOCK_DGRAM.rawValue)
        let raw = RawSocketAddress(address, port: 0)
        let bound = try FileDescriptor(socket(raw.family, kind, 0)),
            other = try FileDescriptor(socket(raw.family, kind, 0))
        #expect(raw.bind(bound.number) == 0)
        let place = try RawSocketAddress(of: bound.number)
        #expect(place.address == address && place.port > 0)
        #expect(place.connect(other.number) == 0)
        #expect(send(other.number, "x", 1, 0) == 1)
        #expect(RawSocketAddress(originalDestinationOf: bound.number, isIPv4: address.isIPv4) == nil)
    }
}
