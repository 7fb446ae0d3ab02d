import Addresses
import JSON
import NetworkPolicy

/// What a sandbox was seen to use.
struct SandboxUse: Sendable {
    /// More names of one address are not looked at.
    static let namesOfAddress = 16

    /// Names that resolved.
    var names: Set<DomainName>
    /// Where connections went.
    var flows: Set<LiveFlow> = []
    /// The names that these addresses were resolved from.
    var resolved: [IPAddress: [DomainName]] = [:]
    /// Whether there was more than is known.
    var isIncomplete = false
}

/// A policy that denies by default and allows what a sandbox used: the rules in force as they are, and behind them the
/// smallest ones for all else that it used and no rule speaks of.
package struct PolicySuggestion: Hashable, Sendable {
    /// So many names in one zone are taken for a service that generates names, and become a wildcard.
    static let siblingsOfWildcard = 8

    /// To be put in force as it is.
    var policy: Policy
    /// What selects the rules in force.
    var existing: [RuleSelector]
    /// Those of them whose rules allow what was not seen to be used. A removal of one takes nothing else.
    var unused: [RuleSelector]
    /// Whether the sandbox may have used more.
    var isIncomplete: Bool
    /// Whether the policy in force is enforced, and not only observed.
    var isEnforced: Bool

    init(
        _ use: SandboxUse, _ present: Policy = .denyAll, operatorRules: [Rule] = [],
        filter: AnswerFilter = AnswerFilter(), maxRules: Int = .max
    ) {
        let rules = present.rules
        var gaps = PolicyGaps(Policy(defaultAction: .deny, rules: rules), operatorRules, filter)
        gaps.look(at: use)
        var added = gaps.names.isEmpty && gaps.addresses.isEmpty ? [] : Self.rules(for: gaps)
        let room = max(0, maxRules - rules.count)
        isIncomplete = use.isIncomplete || added.count > room
        added = Array(added.prefix(room))
        policy = Policy(defaultAction: .deny, rules: rules + added)
        isEnforced = present.mode == .enforce
        existing = present.selectors { _ in true }
        unused = present.selectors { rules[$0].action == .allow && !gaps.used.contains($0) }
    }

    /// The policy as JSON, and beside it what is said of it. It can be sent as it stands.
    func encodedJSON() -> [UInt8] {
        func list(_ selectors: [RuleSelector]) -> String {
            "[" + selectors.map { JSONText.quoted("\($0)") }.joined(separator: ",") + "]"
        }
        let remarks =
            ",\"existing\":" + list(existing) + ",\"unused\":" + list(unused)
            + (isIncomplete ? ",\"incomplete\":true" : "") + (isEnforced ? "" : ",\"enforced\":false")
        return policy.encodedJSON().dropLast() + Array((remarks + "}").utf8)
    }

    // MARK: New rules

    private static func rules(for gaps: PolicyGaps) -> [Rule] {
        let names = Set(gaps.names.keys)
        var children: [DomainName: Int] = [:]
        for name in names { if let parent = name.parent { children[parent, default: 0] += 1 } }
        let zones = Set(children.filter { $0.value >= siblingsOfWildcard && mayBeWildcard($0.key) }.keys)
        var targets: [Target: UsedTraffic] = [:]
        for (name, traffic) in gaps.names {
            // The outermost crowded zone covers all below it.
            let zone = sequence(first: name, next: \.parent).dropFirst().filter { zones.contains($0) }.last
            targets[zone.map { .wildcard($0) } ?? .name(name), default: UsedTraffic()].join(traffic)
        }
        for (address, traffic) in gaps.addresses { targets[.address(CIDRBlock(address))] = traffic }
        let sorted = targets.map { (key: order($0.key), target: $0.key, traffic: $0.value) }
            .sorted { $0.key.lexicographicallyPrecedes($1.key) }
        return sorted.flatMap { item in item.traffic.scopes.map { rule(item.target, $0) } }
    }

    /// Everything in the target's text, which every client passes on as it is.
    private static func rule(_ target: Target, _ scope: TrafficScope) -> Rule {
        (try? Rule(action: .allow, text: "\(RuleTarget(target, scope))"))
            ?? Rule(action: .allow, target: target, scope: scope)
    }

    /// Never a top-level domain, nor what looks like a registry's second level (`co.uk`, `com.au`), where anybody can
    /// register a name.
    private static func mayBeWildcard(_ zone: DomainName) -> Bool {
        let labels = zone.labels
        guard labels.count >= 2 else { return false }
        return labels.count > 2 || labels[1].count > 2 || labels[0].count > 3
    }

    /// Sorts names of one zone together, the zone first, and addresses behind names.
    private static func order(_ target: Target) -> [String] {
        switch target {
        case .name(let name): name.labels.reversed().map { String(decoding: $0, as: UTF8.self) }
        case .wildcard(let name): name.labels.reversed().map { String(decoding: $0, as: UTF8.self) } + ["*"]
        case .address, .anyAddress: ["~", target.description]
        }
    }
}
