import Addresses
import NetworkPolicy

/// Addresses that no policy opens, also in the forms in which an IPv6 address can carry an IPv4 one.
package struct ProtectedAddresses: Hashable, Sendable {
    /// Those of IPv4, which are looked for inside IPv6 addresses.
    let blocks: [CIDRBlock]
    /// All of them, and the forms that make one block of a block; in order, and apart.
    let ranges: [ClosedRange<IPAddress>]

    package init(_ all: [CIDRBlock] = EgressConfiguration.neverOpen) {
        blocks = all.filter(\.base.isIPv4)
        let embedded = all.flatMap { block in EmbeddedAddress.forms.compactMap { $0.block(of: block) } }
        ranges = AddressRanges.normalized((all + embedded).map(\.range))
    }

    package func contains(_ address: IPAddress) -> Bool {
        if ranges.contains(where: { $0.contains(address) }) { return true }
        guard case .v6(let address) = address else { return false }
        return EmbeddedAddress.forms.contains { form in
            guard let inner = form.address(in: address) else { return false }
            return blocks.contains { $0.contains(.v4(inner)) }
        }
    }

    /// What is said of an address that is one of these.
    package static let verdict = Verdict(action: .deny, reason: .guardrail("no policy opens this address"))
}
