import Addresses
import Testing

@Suite struct AddressTextTests {
    @Test(arguments: [
        "0.0.0.0", "198.51.100.7", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1:0:0:1", "1:2:3:4:5:6:7:8",
    ])
    func `canonical text reads back as itself`(text: String) throws {
        #expect(try #require(IPAddress(text)).description == text)
    }

    @Test(arguments: [
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("::ffff:192.0.2.1", "::ffff:c000:201"),
        ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
    ])
    func `other forms read as the canonical one`(text: String, canonical: String) throws {
        #expect(try #require(IPAddress(text)).description == canonical)
    }

    @Test(arguments: [
        "", "1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "0x7f.0.0.1", "127.1", "2130706433", "1.2.3.4:80",
        " 1.2.3.4",
        "1.2.3.4 ", "1..2.3", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::12345", "fe80::1%eth0",
        "[::1]",
        "::1.2.3", "1.2.3.4::", "g::", "1:2:3:4:5:6:7::8:9", "+1::", "::ffff:01.2.3.4",
    ])
    func `what another parser might read differently is refused`(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func `bytes and text agree for random addresses`() throws {
        for _ in 0..<2000 {
            let bytes = (0..<(Bool.random() ? 4 : 16)).map { _ in Bool.random() ? 0 : UInt8.random(in: 0...255) }
            let address = try #require(IPAddress(bytes: bytes))
            #expect(address.bytes == bytes)
            #expect(IPAddress(address.description) == address)
            if let next = address.successor { #expect(next.predecessor == address && address < next) }
        }
    }
}

@Suite struct CIDRBlockTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.0.0.0", "10.255.255.255"), ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
        ("2001:db8::/32", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("198.51.100.7", "198.51.100.7", "198.51.100.7"),
    ])
    func `a block runs from its base to its last address`(text: String, first: String, last: String) throws {
        let block = try #require(CIDRBlock(text))
        #expect(block.range == IPAddress(first)!...IPAddress(last)!)
        #expect(block.contains(IPAddress(first)!) && block.contains(IPAddress(last)!))
        #expect(block.description == text)
        if let before = IPAddress(first)!.predecessor { #expect(!block.contains(before)) }
        if let after = IPAddress(last)!.successor { #expect(!block.contains(after)) }
    }

    @Test(arguments: [
        "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/", "/8", "::/129", "1.2.3.4/ 8",
        "10.0.0.0/8/8",
    ])
    func `a malformed block is refused`(text: String) {
        #expect(CIDRBlock(text) == nil)
    }
}
