import Addresses
import Netfilter
import NetworkPolicy

/// Translates a ruleset, or a difference of two, into nf_tables transactions.
///
/// ```
/// output:  local from foreign source ✗ · local · established · foreign source ✗ · neighbour discovery · protected ✗, within IPv6, too ✗ · not a first segment ✗ ·
///          learned → profile · blocks → profile · default
/// ```
///
/// What is refused goes to a chain of its reason, which counts it, reports some of it (`RefusalLog`) and sends it on to
/// `refuse`.
///
/// If there are many blocks (`RangeShards`), `parts` leads to a chain for each shard, which looks up that shard's map.
///
/// `learned` is a hash map and `blocks` an interval map from an address to the number of a profile, `profiles` a map
/// from that number to the profile's chain. The maps do not lead directly to chains: with verdicts in `learned`, the
/// kernel would walk the whole map whenever an address is added, to check for jump loops.
enum RulesetTransactions {
    static let table = SandboxRuleset.table
    static let learnedSets = (v4: "learned4", v6: "learned6")

    enum Chain {
        static let names = "names"
        static let checks = "checks"
        static let scrub = "scrub"
        static let refuse = "refuse"
        static let otherwise = "otherwise"
        static let foreign = "foreign"
        static let disguised = "disguised"
        static let embedded = "embedded"
        static let output = "output"
        static let input = "input"
        static let forward = "forward"
    }
    static let profiles = "profiles"
    /// The map from a profile's number to a chain that redirects its ports to the flow check.
    static let checked = "checked"

    /// Replaces the table, if any, in one transaction, so that no packet passes without rules.
    static func install(
        _ ruleset: SandboxRuleset, learned: [LearnedElement], reporting: RefusalReporting = .counted
    ) -> Transaction {
        var change = Transaction()
        change.removeTable(table)
        change.addTable(table)
        change.addRefusingChain(Chain.refuse, table: table)
        addRefusals(reporting, to: &change)
        addSets(ruleset, to: &change)
        add(ruleset.profiles.all, checkPort: ruleset.flowCheckPort, to: &change)
        add(learned.map { LearnedChange(address: $0.address, after: $0) }, to: &change)
        change.addChain(Chain.otherwise, table: table)
        addDefault(ruleset.defaultAction, to: &change)
        addOutput(ruleset, reporting, to: &change)
        addInput(reporting, to: &change)
        change.addChain(
            Chain.forward, table: table, base: BaseChain(.filter, .forward, priority: 0, dropsByDefault: true))
        change.addChain(
            Chain.names, table: table, base: BaseChain(.nat, .output, priority: -110, dropsByDefault: false))
        for match in ruleset.exceptions.matches {
            change.addRule(Chain.names, table: table, match + [.verdict(.accept)])
        }
        addRedirects(ruleset.dnsPort, to: &change)
        if ruleset.flowCheckPort != nil { addChecks(ruleset.exceptions, to: &change) }
        return change
    }

    /// Applies the change from one ruleset to another and changes of learned addresses.
    static func apply(_ difference: RulesetDifference, learned: [LearnedChange]) -> Transaction {
        var change = Transaction()
        add(difference.profiles, checkPort: difference.flowCheckPort, to: &change)
        for set in difference.sets {
            let names = partNames(difference.parts, set.set, isIPv4: set.isIPv4)
            for (part, members) in difference.parts.spread(set.removed, isIPv4: set.isIPv4) {
                change.deleteElements(members.flatMap(elements), set: names[part], table: table)
            }
            for (part, members) in difference.parts.spread(set.added, isIPv4: set.isIPv4) {
                change.addElements(members.flatMap(elements), set: names[part], table: table)
            }
        }
        if let action = difference.defaultAction {
            change.flushChain(Chain.otherwise, table: table)
            addDefault(action, to: &change)
        }
        if let port = difference.dnsPort {
            change.flushChain(Chain.names, table: table)
            addRedirects(port, to: &change)
        }
        add(learned, to: &change)
        return change
    }

    static func learnedSet(_ isIPv4: Bool) -> String { isIPv4 ? learnedSets.v4 : learnedSets.v6 }

    static func name(of set: SandboxRuleset.RangeSet, isIPv4: Bool) -> String {
        set.rawValue + (isIPv4 ? "4" : "6")
    }

    private static func elements(_ member: SandboxRuleset.Member) -> [SetElement] {
        SetElement.range(member.range, value: member.profile.map { .number($0) })
    }

    private static func add(_ added: [NumberedProfile], checkPort: UInt16?, to change: inout Transaction) {
        for profile in added {
            let chain = ProfileChain.name(profile.number)
            change.addChain(chain, table: table)
            for rule in ProfileChain.rules(profile.actions, refuse: RefusalReason.policy.chain) {
                change.addRule(chain, table: table, rule)
            }
        }
        change.addElements(
            added.map { SetElement($0.number, value: .jump(ProfileChain.name($0.number))) }, set: profiles,
            table: table)
        guard let checkPort else { return }
        let withChecks = added.filter { $0.checked != PortMap(nil) }
        for profile in withChecks {
            let chain = ProfileChain.checkName(profile.number)
            change.addChain(chain, table: table)
            for rule in ProfileChain.checks(profile.checked, port: checkPort) {
                change.addRule(chain, table: table, rule)
            }
        }
        change.addElements(
            withChecks.map { SetElement($0.number, value: .jump(ProfileChain.checkName($0.number))) }, set: checked,
            table: table)
    }

    /// Removes an existing element first, expired or not. Within the transaction no packet sees it missing.
    private static func add(_ changes: [LearnedChange], to change: inout Transaction) {
        for isIPv4 in [true, false] {
            let mine = changes.filter { $0.address.isIPv4 == isIPv4 }
            let gone = mine.compactMap { item in
                item.before.map { SetElement(item.address, value: .number($0)) }
            }
            change.removeElements(gone, set: learnedSet(isIPv4), table: table)
            let living = mine.compactMap(\.after).filter { $0.lifetime > 0 }
            change.addElements(
                living.map {
                    SetElement(
                        $0.address, timeout: $0.lifetime * 1000, userData: $0.names, value: .number($0.profile))
                }, set: learnedSet(isIPv4), table: table)
        }
    }

    private static func addSets(_ ruleset: SandboxRuleset, to change: inout Transaction) {
        change.addSet(profiles, table: table, key: .number, value: .verdict)
        if ruleset.flowCheckPort != nil { change.addSet(checked, table: table, key: .number, value: .verdict) }
        for isIPv4 in [true, false] {
            let key: SetKey = isIPv4 ? .ipv4 : .ipv6
            change.addSet(learnedSet(isIPv4), table: table, key: key, value: .number, timeouts: true)
            for set in [SandboxRuleset.RangeSet.protected, .neighbours] {
                let name = name(of: set, isIPv4: isIPv4)
                change.addSet(name, table: table, key: key, intervals: true)
                change.addElements(
                    ruleset.members(set, isIPv4: isIPv4).flatMap(elements), set: name, table: table)
            }
            addBlocks(ruleset, isIPv4: isIPv4, to: &change)
        }
    }

    private static func addBlocks(_ ruleset: SandboxRuleset, isIPv4: Bool, to change: inout Transaction) {
        let parts = ruleset.parts, key: SetKey = isIPv4 ? .ipv4 : .ipv6
        let names = partNames(parts, .blocks, isIPv4: isIPv4)
        for name in names { change.addSet(name, table: table, key: key, value: .number, intervals: true) }
        for (part, members) in parts.spread(ruleset.members(.blocks, isIPv4: isIPv4), isIPv4: isIPv4) {
            change.addElements(members.flatMap(elements), set: names[part], table: table)
        }
        guard names.count > 1 else { return }
        for name in names {
            change.addChain(name, table: table)
            change.addRule(
                name, table: table, .destination(mappedBy: name, isIPv4: isIPv4) + [.verdictMap(profiles)])
        }
        change.addSet(partMap(isIPv4), table: table, key: key, value: .verdict, intervals: true)
        change.addElements(
            zip(parts.windows(isIPv4: isIPv4), names).flatMap { SetElement.range($0, value: .jump($1)) },
            set: partMap(isIPv4), table: table)
    }

    static func partMap(_ isIPv4: Bool) -> String { isIPv4 ? "parts4" : "parts6" }

    /// The names of the shards' maps, and of the chains that look them up.
    static func partNames(
        _ parts: RangeShards, _ set: SandboxRuleset.RangeSet, isIPv4: Bool
    ) -> [String] {
        let name = name(of: set, isIPv4: isIPv4), count = parts.count(isIPv4: isIPv4)
        return count == 1 ? [name] : (0..<count).map { "\(name)-\($0)" }
    }
}
