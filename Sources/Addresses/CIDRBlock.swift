/// A block of addresses: a base whose bits past the prefix are zero, and the prefix length in bits.
public struct CIDRBlock: Hashable, Sendable, CustomStringConvertible {
    public let base: IPAddress
    public let prefixLength: Int

    /// IPv4-mapped addresses (RFC 4291, section 2.5.5.2): another way to write IPv4, which no packet carries.
    public static let mapped = CIDRBlock("::ffff:0:0/96")!

    /// Whether it is in `mapped`, and so no packet's address is in it.
    public var isMapped: Bool { !base.isIPv4 && prefixLength >= 96 && Self.mapped.contains(base) }

    /// Every address of both families.
    public static let everything = [CIDRBlock("0.0.0.0/0")!, CIDRBlock("::/0")!]

    /// The block of one address.
    @inlinable public init(_ address: IPAddress) {
        base = address
        prefixLength = address.bitWidth
    }

    /// The block around an address; nil where the length does not fit the family.
    public init?(_ address: IPAddress, prefixLength: Int) {
        guard (0...address.bitWidth).contains(prefixLength) else { return nil }
        self.base = Self.masked(address, prefixLength)
        self.prefixLength = prefixLength
    }

    /// `198.51.100.0/24`, `2001:db8::/32`, or a bare address. Bits past the prefix must be zero: `10.0.0.1/8` is more
    /// likely a mistake than meant to be all of `10.0.0.0/8`.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]) else { return nil }
        guard parts.count == 2 else {
            self.init(address)
            return
        }
        let digits = parts[1].utf8
        guard (1...3).contains(digits.count), digits.count == 1 || digits.first != UInt8(ascii: "0"),
            digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let length = Int(parts[1]), (0...address.bitWidth).contains(length), Self.masked(address, length) == address
        else { return nil }
        self.init(address, prefixLength: length)
    }

    /// The address and the network of a text that is no block since its address is one inside: `10.0.0.1/8` is in `10.0.0.0/8`.
    public static func around(_ text: some StringProtocol) -> (address: IPAddress, network: CIDRBlock)? {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(parts[0]), let length = Int(parts[1]), "\(length)" == parts[1],
            let network = CIDRBlock(address, prefixLength: length), network.base != address
        else { return nil }
        return (address, network)
    }

    public var description: String {
        prefixLength == base.bitWidth ? "\(base)" : "\(base)/\(prefixLength)"
    }

    /// First to last address.
    public var range: ClosedRange<IPAddress> {
        switch base {
        case .v4(let first):
            return base ... .v4(IPv4Address(rawValue: first.rawValue | ~Self.mask32(prefixLength)))
        case .v6(let first):
            let (high, low) = Self.mask128(prefixLength)
            return base ... .v6(IPv6Address(high: first.high | ~high, low: first.low | ~low))
        }
    }

    @inlinable public func contains(_ address: IPAddress) -> Bool {
        address.isIPv4 == base.isIPv4 && Self.masked(address, prefixLength) == base
    }

    @inlinable static func masked(_ address: IPAddress, _ length: Int) -> IPAddress {
        switch address {
        case .v4(let address): return .v4(IPv4Address(rawValue: address.rawValue & mask32(length)))
        case .v6(let address):
            let (high, low) = mask128(length)
            return .v6(IPv6Address(high: address.high & high, low: address.low & low))
        }
    }

    @inlinable static func mask32(_ length: Int) -> UInt32 { length == 0 ? 0 : .max << UInt32(32 - length) }
    @inlinable static func mask128(_ length: Int) -> (UInt64, UInt64) {
        (
            length >= 64 ? .max : length == 0 ? 0 : .max << UInt64(64 - length),
            length <= 64 ? 0 : .max << UInt64(128 - length)
        )
    }
}
