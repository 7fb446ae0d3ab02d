import NetworkPolicy

/// The nf_tables ruleset of one sandbox's namespace as a value, but for what names have taught it.
///
/// Two rulesets differ in the contents of their interval sets, the default action and the DNS port; the rules
/// themselves never change, which is why a policy change is a small diff (`RulesetDifference`).
struct SandboxRuleset: Hashable, Sendable {
    static let table = "sallyport"

    /// The sets of address ranges. Each exists once a family: `allow4`, `allow6`, …
    enum RangeSet: String, CaseIterable, Sendable {
        /// Refused whatever the policy says.
        case protected
        /// Next to the sandbox on its link.
        case neighbours
        /// The policy's address rules, flattened.
        case allow, deny
    }

    /// The port of the DNS filter inside the namespace.
    var dnsPort: UInt16
    var defaultAction: Action
    private(set) var ranges: [RangeSet: [ClosedRange<IPAddress>]]

    init(dnsPort: UInt16, plan: AddressPlan, alwaysDeny: [CIDRBlock], neighbours: [CIDRBlock]) {
        self.dnsPort = dnsPort
        self.defaultAction = plan.defaultAction
        self.ranges = [
            .protected: AddressRanges.normalized(alwaysDeny.map(\.range)),
            .neighbours: AddressRanges.normalized(neighbours.map(\.range)),
            .allow: AddressRanges.normalized(plan.allowed),
            .deny: AddressRanges.normalized(plan.denied),
        ]
    }

    /// Replaces what comes from the policy.
    mutating func apply(_ plan: AddressPlan) {
        defaultAction = plan.defaultAction
        ranges[.allow] = AddressRanges.normalized(plan.allowed)
        ranges[.deny] = AddressRanges.normalized(plan.denied)
    }

    /// The ranges of a set in one family.
    func ranges(_ set: RangeSet, isIPv4: Bool) -> [ClosedRange<IPAddress>] {
        (ranges[set] ?? []).filter { $0.lowerBound.isIPv4 == isIPv4 }
    }

    /// What the output chain does with a new flow to an address that no name has taught: the same order of rules.
    func action(forRaw address: IPAddress) -> Action {
        if AddressRanges.contains(address, in: ranges[.protected] ?? []) { return .deny }
        if AddressRanges.contains(address, in: ranges[.allow] ?? []) { return .allow }
        if AddressRanges.contains(address, in: ranges[.deny] ?? []) { return .deny }
        return defaultAction
    }

    func isProtected(_ address: IPAddress) -> Bool {
        AddressRanges.contains(address, in: ranges[.protected] ?? [])
    }
}
