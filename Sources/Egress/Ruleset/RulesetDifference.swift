import Addresses
import NetworkPolicy

/// The change from one ruleset to another. Learned addresses are not part of it, so they survive every change that does
/// not revoke them.
package struct RulesetDifference: Hashable, Sendable {
    struct SetChange: Hashable, Sendable {
        var set: SandboxRuleset.RangeSet
        var isIPv4: Bool
        var removed: [SandboxRuleset.Member]
        var added: [SandboxRuleset.Member]
    }

    var sets: [SetChange] = []
    /// The shards of the ranges in `sets`.
    var parts = RangeShards.whole
    var profiles: [NumberedProfile] = []
    /// The new default action; `nil` if unchanged.
    var defaultAction: Action?
    /// The port to which new profiles redirect flows to be checked.
    var flowCheckPort: UInt16?
    /// The new DNS port; `nil` if unchanged.
    var dnsPort: UInt16?

    var isEmpty: Bool { sets.isEmpty && profiles.isEmpty && defaultAction == nil && dnsPort == nil }

    /// A difference that only adds profiles, as learning an address may need.
    init(adding profiles: [NumberedProfile], flowCheckPort: UInt16? = nil) {
        self.profiles = profiles
        self.flowCheckPort = flowCheckPort
    }

    /// - Parameter blocks: how the blocks differ, if known; then nothing else is compared.
    /// - Precondition: `new` was made from `old`, so their profiles have the same numbers, and their shards are the
    ///   same.
    init(from old: SandboxRuleset, to new: SandboxRuleset, blocks: RangeTable<UInt32>.Change? = nil) {
        profiles = new.profiles.added(since: old.profiles)
        flowCheckPort = new.flowCheckPort
        parts = new.parts
        for isIPv4 in [true, false] {
            if let blocks {
                add(.blocks, isIPv4: isIPv4, Self.members(blocks.removed), Self.members(blocks.added))
            } else if old.blocks != new.blocks {
                let before = Set(old.members(.blocks, isIPv4: isIPv4)),
                    after = Set(new.members(.blocks, isIPv4: isIPv4))
                add(.blocks, isIPv4: isIPv4, before.subtracting(after), after.subtracting(before))
            }
        }
        if old.defaultAction != new.defaultAction { defaultAction = new.defaultAction }
        if old.dnsPort != new.dnsPort { dnsPort = new.dnsPort }
    }

    private mutating func add(
        _ set: SandboxRuleset.RangeSet, isIPv4: Bool, _ removed: Set<SandboxRuleset.Member>,
        _ added: Set<SandboxRuleset.Member>
    ) {
        let mine = { (members: Set<SandboxRuleset.Member>) in
            members.filter { $0.range.lowerBound.isIPv4 == isIPv4 }
                .sorted { $0.range.lowerBound < $1.range.lowerBound }
        }
        let change = SetChange(set: set, isIPv4: isIPv4, removed: mine(removed), added: mine(added))
        if !change.removed.isEmpty || !change.added.isEmpty { sets.append(change) }
    }

    private static func members(_ elements: Set<RangeTable<UInt32>.Element>) -> Set<SandboxRuleset.Member> {
        Set(elements.map { SandboxRuleset.Member($0) })
    }
}
