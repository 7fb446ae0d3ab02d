import NetworkPolicy

/// What must change in the kernel to get from one ruleset to another. Learned addresses are not part of it, so
/// they survive every change that does not revoke them.
struct RulesetDifference: Hashable, Sendable {
    struct SetChange: Hashable, Sendable {
        var set: SandboxRuleset.RangeSet
        var isIPv4: Bool
        var removed: [ClosedRange<IPAddress>]
        var added: [ClosedRange<IPAddress>]
    }

    var sets: [SetChange] = []
    /// The new default action, or `nil` when it stays.
    var defaultAction: Action?
    /// The new DNS port, or `nil` when it stays.
    var dnsPort: UInt16?

    var isEmpty: Bool { sets.isEmpty && defaultAction == nil && dnsPort == nil }

    init(from old: SandboxRuleset, to new: SandboxRuleset) {
        for set in SandboxRuleset.RangeSet.allCases {
            for isIPv4 in [true, false] {
                let before = Set(old.ranges(set, isIPv4: isIPv4))
                let after = Set(new.ranges(set, isIPv4: isIPv4))
                guard before != after else { continue }
                let order: (ClosedRange<IPAddress>, ClosedRange<IPAddress>) -> Bool = { $0.lowerBound < $1.lowerBound }
                sets.append(
                    SetChange(
                        set: set, isIPv4: isIPv4, removed: before.subtracting(after).sorted(by: order),
                        added: after.subtracting(before).sorted(by: order)))
            }
        }
        if old.defaultAction != new.defaultAction { defaultAction = new.defaultAction }
        if old.dnsPort != new.dnsPort { dnsPort = new.dnsPort }
    }
}
