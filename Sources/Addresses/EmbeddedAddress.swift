/// A form of IPv6 address that contains an IPv4 address. A translator or the end of a tunnel may send on to that IPv4
/// address, so a rule that closes it must close all these forms as well.
public struct EmbeddedAddress: Hashable, Sendable {
    /// The fixed part of the IPv6 address: its beginning, or the middle bits.
    public let marker: IPv6Address
    public let mask: IPv6Address
    /// Which of the sixteen octets hold the four of the IPv4 address, in order.
    public let places: [Int]
    /// Whether those octets are inverted (Teredo).
    public let isInverted: Bool

    private init(_ block: String, _ places: [Int], isInverted: Bool = false) {
        let block = CIDRBlock(block)!
        guard case .v6(let base) = block.base else { preconditionFailure("not IPv6") }
        self.init(base, mask: IPv6Address.mask(block.prefixLength), places, isInverted: isInverted)
    }

    private init(_ marker: IPv6Address, mask: IPv6Address, _ places: [Int], isInverted: Bool = false) {
        (self.marker, self.mask, self.places, self.isInverted) = (marker, mask, places, isInverted)
    }

    private static let last = Array(12...15)

    public static let forms = [
        EmbeddedAddress("::/96", last),  // IPv4-compatible (RFC 4291, section 2.5.5.1)
        EmbeddedAddress("::ffff:0:0/96", last),  // IPv4-mapped (RFC 4291, section 2.5.5.2)
        EmbeddedAddress("::ffff:0:0:0/96", last),  // IPv4-translated (RFC 2765, section 2.1)
        EmbeddedAddress("64:ff9b::/96", last),  // NAT64 (RFC 6052, section 2.1)
        // NAT64 with a local prefix (RFC 8215), in each length that fits (RFC 6052, section 2.2).
        EmbeddedAddress("64:ff9b:1::/48", last),
        EmbeddedAddress("64:ff9b:1::/48", Array(9...12)),
        EmbeddedAddress("64:ff9b:1::/48", [7, 9, 10, 11]),
        EmbeddedAddress("64:ff9b:1::/48", [6, 7, 9, 10]),
        EmbeddedAddress("2002::/16", Array(2...5)),  // 6to4 (RFC 3056)
        // Teredo (RFC 4380, section 4): the server, and the client's NAT.
        EmbeddedAddress("2001::/32", Array(4...7)),
        EmbeddedAddress("2001::/32", last, isInverted: true),
        // ISATAP (RFC 5214, section 6.1), below any prefix; one bit of the marker says whether the address is unique.
        EmbeddedAddress(
            IPv6Address(high: 0, low: 0x0000_5efe << 32), mask: IPv6Address(high: 0, low: 0xfdff_ffff << 32), last),
    ]

    /// The IPv4 address in an IPv6 address of this form; nil for another form.
    public func address(in address: IPv6Address) -> IPv4Address? {
        guard address.high & mask.high == marker.high, address.low & mask.low == marker.low else { return nil }
        let number = places.reduce(UInt32(0)) { number, place in
            let half = place < 8 ? address.high : address.low
            return number << 8 | UInt32(truncatingIfNeeded: half >> UInt64(56 - 8 * (place % 8))) & 0xff
        }
        return IPv4Address(rawValue: isInverted ? ~number : number)
    }

    /// The addresses of this form that contain an address of an IPv4 block, as value and mask.
    public func pattern(of block: CIDRBlock) -> (value: IPv6Address, mask: IPv6Address)? {
        guard case .v4(let base) = block.base else { return nil }
        let bits: UInt32 = block.prefixLength == 0 ? 0 : .max << UInt32(32 - block.prefixLength)
        let number = (isInverted ? ~base.rawValue : base.rawValue) & bits
        return (marker.placing(number, at: places), mask.placing(bits, at: places))
    }

    /// The same as one block; nil where it is not contiguous.
    public func block(of block: CIDRBlock) -> CIDRBlock? {
        guard let (value, mask) = pattern(of: block) else { return nil }
        let high = (~mask.high).leadingZeroBitCount
        let length = high < 64 ? high : 64 + (~mask.low).leadingZeroBitCount
        return IPv6Address.mask(length) == mask ? CIDRBlock(.v6(value), prefixLength: length) : nil
    }
}

extension IPv6Address {
    fileprivate static func mask(_ length: Int) -> IPv6Address {
        IPv6Address(
            high: length >= 64 ? .max : .max << UInt64(64 - length),
            low: length <= 64 ? 0 : .max << UInt64(128 - length))
    }

    /// The address with the octets of a number put into these places.
    fileprivate func placing(_ number: UInt32, at places: [Int]) -> IPv6Address {
        var placed = self
        for (index, place) in places.enumerated() {
            let octet = UInt64(number >> UInt32(24 - 8 * index) & 0xff) << UInt64(56 - 8 * (place % 8))
            if place < 8 { placed.high |= octet } else { placed.low |= octet }
        }
        return placed
    }
}
