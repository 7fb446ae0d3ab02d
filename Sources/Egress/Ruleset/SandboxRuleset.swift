import Addresses
import NetworkPolicy

/// The nf_tables ruleset of one sandbox's namespace as a value, but for what names have taught it.
///
/// Two rulesets differ in the contents of their sets and maps, the default action and the DNS port; the rules
/// themselves never change, which is why a policy change is a small diff (`RulesetDifference`).
package struct SandboxRuleset: Hashable, Sendable {
    package static let table = "sallyport"

    /// The sets of address ranges. Each exists once a family: `blocks4`, `blocks6`, …
    enum RangeSet: String, CaseIterable, Sendable {
        /// Refused whatever the policy says.
        case protected
        /// Neighbours on the sandbox's link.
        case neighbours
        /// The policy's flattened address rules: a map to profile numbers.
        case blocks
    }

    /// A range of addresses, in a map with the number of its profile.
    struct Member: Hashable, Sendable {
        var range: ClosedRange<IPAddress>
        var profile: UInt32?
    }

    /// The port of the DNS filter inside the namespace.
    var dnsPort: UInt16
    private(set) var defaultAction: Action
    /// The members of all sets except `blocks`.
    private var members: [RangeSet: [Member]]
    /// The profile number of each range.
    private(set) var blocks = RangeTable<UInt32>()
    /// The shards of `blocks` in the kernel. Never part of a difference.
    private(set) var parts: RangeShards
    private let partSize: Int
    /// What no policy opens.
    let protected: ProtectedAddresses
    var profiles = ProfileTable()
    /// Packets in the namespace that are not the sandbox's.
    package var exceptions = SharedNamespace()
    /// The port of the flow check inside the namespace; nil if flows are not checked. Never part of a difference.
    var flowCheckPort: UInt16?

    /// - Throws: `EgressError.invalidPolicy` if the plan needs more profiles than there is room for.
    init(
        dnsPort: UInt16, plan: AddressPlan, alwaysDeny: [CIDRBlock], neighbours: [CIDRBlock],
        partSize: Int = RangeShards.usualSize
    ) throws(EgressError) {
        self.dnsPort = dnsPort
        self.partSize = partSize
        protected = ProtectedAddresses(alwaysDeny)
        parts = RangeShards(blocks, size: partSize)
        defaultAction = plan.defaultAction
        members = [
            .protected: protected.ranges.map { Member(range: $0) }, .neighbours: Self.members(neighbours),
        ]
        guard apply(plan) else { throw Self.noRoom }
        reshard()
    }

    /// Makes new shards, for an installation.
    mutating func reshard() { parts = RangeShards(blocks, size: partSize) }

    var hasOutgrownParts: Bool { parts.isOutgrown(by: blocks.count) }

    static let noRoom = EgressError.invalidPolicy(
        "the address rules combine in more than \(ProfileTable.capacity) different ways: use fewer different ports")

    private static func members(_ blocks: [CIDRBlock]) -> [Member] {
        AddressRanges.normalized(blocks.map(\.range)).map { Member(range: $0) }
    }

    /// Replaces what depends on the policy. Returns false if there is no room for its profiles; then it is incomplete.
    package mutating func apply(_ plan: AddressPlan) -> Bool {
        defaultAction = plan.defaultAction
        guard let elements = elements(plan.blocks) else { return false }
        blocks = RangeTable(elements)
        return true
    }

    /// Replaces what depends on the policy in one range; nil if there is no room.
    mutating func apply(_ part: [AddressPlan.Block], in range: ClosedRange<IPAddress>) -> RangeTable<UInt32>.Change? {
        elements(part).map { blocks.replace(range, with: $0) }
    }

    private mutating func elements(_ plan: [AddressPlan.Block]) -> [RangeTable<UInt32>.Element]? {
        var elements: [RangeTable<UInt32>.Element] = []
        elements.reserveCapacity(plan.count)
        for block in plan {
            guard let number = profiles.number(of: block.actions) else { return nil }
            elements.append(.init(block.range, number))
        }
        return elements
    }

    /// The members of a set in one family.
    func members(_ set: RangeSet, isIPv4: Bool) -> [Member] {
        let all = set == .blocks ? blocks.elements.map { Member($0) } : members[set] ?? []
        return all.filter { $0.range.lowerBound.isIPv4 == isIPv4 }
    }

    /// What the output chain does with a new flow, in the same order as its rules.
    /// - Parameter learned: what the address's names decide; nil if it was not learned.
    func action(_ address: IPAddress, _ traffic: Traffic, learned: TrafficMap<Action>? = nil) -> Action {
        if protected.contains(address) { return .deny }
        if let decided = learned?[traffic] { return decided }
        if let decided = planned(address)[traffic] { return decided }
        return defaultAction
    }

    /// What the address rules decide for an address.
    func planned(_ address: IPAddress) -> TrafficMap<Action> {
        blocks.element(holding: address).map { profiles[$0.value] } ?? TrafficMap(nil)
    }

    /// What the address rules and the default action decide for an address, without its names.
    func actionsWithoutNames(_ address: IPAddress) -> TrafficMap<Action> {
        planned(address).combined(with: TrafficMap<Action>(nil)) { action, _ in action ?? defaultAction }
    }
}

extension SandboxRuleset.Member {
    init(_ element: RangeTable<UInt32>.Element) { self.init(range: element.range, profile: element.value) }
}
