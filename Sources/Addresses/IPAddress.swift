// Every query and every flow compares and masks addresses, so these operations are inlined into other modules.

/// An IPv4 address.
public struct IPv4Address: Hashable, Comparable, Sendable {
    /// The address as a number, most significant octet first.
    public var rawValue: UInt32

    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Network byte order.
    public var bytes: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: rawValue >> (24 - 8 * $0)) } }

    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// An IPv6 address, without a zone.
public struct IPv6Address: Hashable, Comparable, Sendable {
    public var high: UInt64
    public var low: UInt64

    @inlinable public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Network byte order.
    public var bytes: [UInt8] {
        [high, low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * $0)) } }
    }

    @inlinable public static func < (left: Self, right: Self) -> Bool {
        (left.high, left.low) < (right.high, right.low)
    }
}

/// An address of either family. IPv4 sorts before IPv6.
public enum IPAddress: Hashable, Comparable, Sendable {
    case v4(IPv4Address)
    case v6(IPv6Address)

    /// From network byte order: 4 or 16 bytes; nil for any other count.
    public init?(bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 4: self = .v4(IPv4Address(rawValue: bytes.reduce(0) { $0 << 8 | UInt32($1) }))
        case 16:
            let high = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let low = bytes.dropFirst(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            self = .v6(IPv6Address(high: high, low: low))
        default: return nil
        }
    }

    public var bytes: [UInt8] {
        switch self {
        case .v4(let address): address.bytes
        case .v6(let address): address.bytes
        }
    }

    @inlinable public var isIPv4: Bool { if case .v4 = self { true } else { false } }
    @inlinable public var bitWidth: Int { isIPv4 ? 32 : 128 }

    public var isLoopback: Bool {
        switch self {
        case .v4(let address): address.rawValue >> 24 == 127
        case .v6(let address): address.high == 0 && address.low == 1
        }
    }

    /// The IPv4 address of an IPv4-mapped one (RFC 4291, section 2.5.5.2), else the address itself.
    public var unmapped: IPAddress {
        guard case .v6(let address) = self, address.high == 0, address.low >> 32 == 0xffff else { return self }
        return .v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: address.low)))
    }

    /// The next address of the family, nil after its last.
    @inlinable public var successor: IPAddress? {
        switch self {
        case .v4(let address):
            return address.rawValue == .max ? nil : .v4(IPv4Address(rawValue: address.rawValue + 1))
        case .v6(let address):
            if address.low != .max { return .v6(IPv6Address(high: address.high, low: address.low + 1)) }
            return address.high == .max ? nil : .v6(IPv6Address(high: address.high + 1, low: 0))
        }
    }

    /// The address before it in the family, nil before its first.
    @inlinable public var predecessor: IPAddress? {
        switch self {
        case .v4(let address):
            return address.rawValue == 0 ? nil : .v4(IPv4Address(rawValue: address.rawValue - 1))
        case .v6(let address):
            if address.low != 0 { return .v6(IPv6Address(high: address.high, low: address.low - 1)) }
            return address.high == 0 ? nil : .v6(IPv6Address(high: address.high - 1, low: .max))
        }
    }

    @inlinable public static func < (left: Self, right: Self) -> Bool {
        switch (left, right) {
        case (.v4(let left), .v4(let right)): left < right
        case (.v6(let left), .v6(let right)): left < right
        case (.v4, .v6): true
        case (.v6, .v4): false
        }
    }
}
