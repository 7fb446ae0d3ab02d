import Addresses
import NetworkPolicy

/// The addresses of sandboxes: a host number in an IPv4 block, and the same number in an IPv6 block.
struct AddressPool: Hashable, Sendable {
    let block: CIDRBlock
    let blockV6: CIDRBlock
    private var taken: Set<UInt32> = []
    private var next: UInt32 = firstHost

    /// The first numbers are not used: .0 is not a host to many programs, and .1 is usually a router.
    private static let firstHost: UInt32 = 2

    init(block: CIDRBlock, blockV6: CIDRBlock) {
        self.block = block
        self.blockV6 = blockV6
    }

    /// How many sandboxes there can be; the block's last address is not used either.
    var capacity: Int { (1 << (32 - block.prefixLength)) - Int(Self.firstHost) - 1 }

    /// A free number, searched from the last one given out, so that an address is not reused at once.
    mutating func lease() -> UInt32? {
        guard taken.count < capacity else { return nil }
        let end = UInt32((1 << (32 - block.prefixLength)) - 1)
        while true {
            if next >= end { next = Self.firstHost }
            defer { next += 1 }
            if taken.insert(next).inserted { return next }
        }
    }

    /// Marks a number as in use.
    mutating func occupy(_ host: UInt32) { taken.insert(host) }
    mutating func release(_ host: UInt32) { taken.remove(host) }

    func address(_ host: UInt32) -> IPv4Address {
        guard case .v4(let base) = block.base else { preconditionFailure("the pool's block is IPv4") }
        return IPv4Address(rawValue: base.rawValue | host)
    }

    func addressV6(_ host: UInt32) -> IPv6Address {
        guard case .v6(let base) = blockV6.base else { preconditionFailure("the pool's second block is IPv6") }
        return IPv6Address(high: base.high, low: base.low | UInt64(host))
    }
}
