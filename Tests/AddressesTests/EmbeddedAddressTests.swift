import Addresses
import Testing

private struct NoAddressError: Error {}

/// What is sent to an IPv6 address may come out as IPv4: whoever closes an IPv4 address closes it there, too.
@Suite struct EmbeddedAddressTests {
    private func inside(_ text: String) throws -> Set<String> {
        guard case .v6(let address)? = IPAddress(text) else { throw NoAddressError() }
        return Set(EmbeddedAddress.forms.compactMap { $0.address(in: address)?.description })
    }

    @Test(arguments: [
        ("::169.254.169.254", "compatible"), ("::ffff:169.254.169.254", "mapped"),
        ("::ffff:0:169.254.169.254", "translated"), ("64:ff9b::a9fe:a9fe", "NAT64"),
        ("64:ff9b:1::a9fe:a9fe", "NAT64 of a network's own, /96"), ("64:ff9b:1:7:8:9:a9fe:a9fe", "the same elsewhere"),
        ("64:ff9b:1:ffff:a9:fea9:fe00:0", "/64"), ("64:ff9b:1:77a9:fe:a9fe::", "/56"),
        ("64:ff9b:1:a9fe:a9:fe00::", "/48"),
        ("2002:a9fe:a9fe::1", "6to4"), ("2001:0:a9fe:a9fe::1", "a Teredo server"),
        ("2001:0:c633:6401:0:0:5601:5601", "a Teredo client"), ("2001:db8::5efe:169.254.169.254", "ISATAP"),
        ("2001:db8:1:2:200:5efe:a9fe:a9fe", "ISATAP, unique"), ("fe80::5efe:a9fe:a9fe", "ISATAP on the link"),
    ])
    func `169_254_169_254 is found in every form`(text: String, form: String) throws {
        #expect(try inside(text).contains("169.254.169.254"), "\(form)")
    }

    @Test(arguments: ["2001:db8::a9fe:a9fe", "64:ff9c::a9fe:a9fe", "2003:a9fe:a9fe::1", "2001:db8::5eff:a9fe:a9fe"])
    func `other addresses hold none`(text: String) throws { #expect(try inside(text).isEmpty) }

    @Test func `patterns match what the forms find, in all that a block holds`() throws {
        let blocks = ["169.254.0.0/16", "100.100.100.200", "168.63.129.16"].map { CIDRBlock($0)! }
        for _ in 0..<20_000 {
            let form = EmbeddedAddress.forms.randomElement()!
            // Often right, sometimes nearly.
            var address = IPv6Address(
                high: .random(in: 0 ... .max) & ~form.mask.high | form.marker.high,
                low: .random(in: 0 ... .max) & ~form.mask.low | form.marker.low)
            if Bool.random(), let (value, mask) = form.pattern(of: blocks.randomElement()!) {
                address.high = address.high & ~mask.high | value.high
                address.low = address.low & ~mask.low | value.low
            }
            if Int.random(in: 0..<4) == 0 { address.low ^= 1 << UInt64.random(in: 0..<64) }
            for block in blocks {
                guard let (value, mask) = form.pattern(of: block) else { throw NoAddressError() }
                let matches = address.high & mask.high == value.high && address.low & mask.low == value.low
                if let whole = form.block(of: block) { #expect(whole.contains(.v6(address)) == matches) }
                #expect(matches == form.address(in: address).map { block.contains(.v4($0)) } ?? false)
            }
        }
    }
}
