import NetworkPolicy

/// What must change in the kernel to get from one ruleset to another. Learned addresses are not part of it, so
/// they survive every change that does not revoke them.
struct RulesetDifference: Hashable, Sendable {
    struct SetChange: Hashable, Sendable {
        var set: SandboxRuleset.RangeSet
        var isIPv4: Bool
        var removed: [SandboxRuleset.Member]
        var added: [SandboxRuleset.Member]
    }

    var sets: [SetChange] = []
    var profiles: [NumberedProfile] = []
    /// The new default action, or `nil` when it stays.
    var defaultAction: Action?
    /// The new DNS port, or `nil` when it stays.
    var dnsPort: UInt16?

    var isEmpty: Bool { sets.isEmpty && profiles.isEmpty && defaultAction == nil && dnsPort == nil }

    /// Only more profiles, as learning an address may need.
    init(adding profiles: [NumberedProfile]) { self.profiles = profiles }

    /// - Precondition: `new` came from `old`, so that what they have in profiles has the same numbers.
    init(from old: SandboxRuleset, to new: SandboxRuleset) {
        profiles = new.profiles.added(since: old.profiles)
        for set in SandboxRuleset.RangeSet.allCases where old.members[set] != new.members[set] {
            for isIPv4 in [true, false] {
                let before = Set(old.members(set, isIPv4: isIPv4))
                let after = Set(new.members(set, isIPv4: isIPv4))
                guard before != after else { continue }
                sets.append(
                    SetChange(
                        set: set, isIPv4: isIPv4, removed: Self.sorted(before.subtracting(after)),
                        added: Self.sorted(after.subtracting(before))))
            }
        }
        if old.defaultAction != new.defaultAction { defaultAction = new.defaultAction }
        if old.dnsPort != new.dnsPort { dnsPort = new.dnsPort }
    }

    private static func sorted(_ members: Set<SandboxRuleset.Member>) -> [SandboxRuleset.Member] {
        members.sorted { $0.range.lowerBound < $1.range.lowerBound }
    }
}
