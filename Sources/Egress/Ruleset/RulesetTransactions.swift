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
/// If there are many blocks (`RangeShards`), `parts` leads to a chain for each shard, which looks up that shard's map.
///
/// `learned` is a hash map and `blocks` an interval map from an address to the number of a profile, `profiles` a map
/// from that number to the profile's chain. The maps do not lead directly to chains: with verdicts in `learned`, the
/// kernel would walk the whole map whenever an address is added, to check for jump loops.
enum RulesetTransactions {
    private static let table = SandboxRuleset.table
    static let learnedSets = (v4: "learned4", v6: "learned6")

    private enum Chain {
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
    private static let profiles = "profiles"
    /// The map from a profile's number to a chain that redirects its ports to the flow check.
    private static let checked = "checked"

    /// Replaces the table, if any, in one transaction, so that no packet passes without rules.
    static func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) -> Transaction {
        var change = Transaction()
        change.removeTable(table)
        change.addTable(table)
        change.addRefusingChain(Chain.refuse, table: table)
        addSets(ruleset, to: &change)
        add(ruleset.profiles.all, checkPort: ruleset.flowCheckPort, to: &change)
        add(learned.map { LearnedChange(address: $0.address, after: $0) }, to: &change)
        change.addChain(Chain.otherwise, table: table)
        addDefault(ruleset.defaultAction, to: &change)
        addOutput(ruleset, to: &change)
        addInput(to: &change)
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

    private static func learnedSet(_ isIPv4: Bool) -> String { isIPv4 ? learnedSets.v4 : learnedSets.v6 }

    private static func name(of set: SandboxRuleset.RangeSet, isIPv4: Bool) -> String {
        set.rawValue + (isIPv4 ? "4" : "6")
    }

    private static func elements(_ member: SandboxRuleset.Member) -> [SetElement] {
        SetElement.range(member.range, value: member.profile.map { .number($0) })
    }

    private static func add(_ added: [NumberedProfile], checkPort: UInt16?, to change: inout Transaction) {
        for profile in added {
            let chain = ProfileChain.name(profile.number)
            change.addChain(chain, table: table)
            for rule in ProfileChain.rules(profile.actions, refuse: Chain.refuse) {
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

    private static func partMap(_ isIPv4: Bool) -> String { isIPv4 ? "parts4" : "parts6" }

    /// The names of the shards' maps, and of the chains that look them up.
    private static func partNames(
        _ parts: RangeShards, _ set: SandboxRuleset.RangeSet, isIPv4: Bool
    ) -> [String] {
        let name = name(of: set, isIPv4: isIPv4), count = parts.count(isIPv4: isIPv4)
        return count == 1 ? [name] : (0..<count).map { "\(name)-\($0)" }
    }

    private static func addDefault(_ action: Action, to change: inout Transaction) {
        change.addRule(Chain.otherwise, table: table, [.verdict(action == .allow ? .accept : .goto(Chain.refuse))])
    }

    /// Redirects every query to the filter, whichever resolver it was for.
    private static func addRedirects(_ port: UInt16, to change: inout Transaction) {
        for transport in [IPProtocol.udp, IPProtocol.tcp] {
            change.addRule(
                Chain.names, table: table, .destinationPort(53, transport: transport) + [.redirect(port: port)])
        }
    }

    /// Redirects the first segment of a flow to a learned address to the flow check. The check's own connections pass.
    private static func addChecks(_ exceptions: SharedNamespace, to change: inout Transaction) {
        change.addChain(
            Chain.checks, table: table, base: BaseChain(.nat, .output, priority: -109, dropsByDefault: false))
        let leave: [Expression] = [.verdict(.accept)]
        for match in exceptions.matches { change.addRule(Chain.checks, table: table, match + leave) }
        // Otherwise the check would answer to a forged source address.
        change.addRule(Chain.checks, table: table, .fromForeignAddress + leave)
        for isIPv4 in [true, false] {
            change.addRule(
                Chain.checks, table: table,
                .transport(IPProtocol.tcp) + .destination(mappedBy: learnedSet(isIPv4), isIPv4: isIPv4)
                    + [.verdictMap(checked)])
        }
        // Clear the mark after the last rule that needs it and before a packet socket can see it.
        guard let mark = exceptions.filterMark else { return }
        change.addChain(
            Chain.scrub, table: table, base: BaseChain(.filter, .postrouting, priority: 0, dropsByDefault: false))
        change.addRule(Chain.scrub, table: table, .from(mark) + [.setMeta(.mark, 0), .setMeta(.priority, 0)])
    }

    private static func addOutput(_ ruleset: SandboxRuleset, to change: inout Transaction) {
        let exceptions = ruleset.exceptions, isChecking = ruleset.flowCheckPort != nil
        let refuse: [Expression] = [.verdict(.goto(Chain.refuse))], accept: [Expression] = [.verdict(.accept)]
        var rules: [[Expression]] = exceptions.matches.map { $0 + accept }
        if isChecking, let mark = exceptions.filterMark {
            // A raw packet must not pass as part of one of the check's flows, open or ended.
            rules = [.from(mark) + [.setConnectionMark(FlowCheckMark.connection)] + accept] + rules
            rules.append(
                .connectionMark(FlowCheckMark.connection) + .noReset + [.verdict(.drop)])
        }
        rules += [
            .toLocalAddress + .fromForeignAddress + [.verdict(.goto(Chain.disguised))],
            // A redirected query goes to loopback through another interface, so match its address, not its interface.
            .toLocalAddress + accept,
            // Only `established`, not `related`: ICMP errors can carry any data, even to an address that is open to TCP
            // alone, and conntrack helpers expect further connections. These are judged like any other packet.
            .connection([.established]) + accept,
            .fromForeignAddress + [.verdict(.goto(Chain.foreign))],
        ]
        let discovery = neighbourDiscovery
        rules += discovery.map { $0 + accept }
        // A refusal is sent to the packet's source address and quotes the packet. With a forged source, which takes no
        // privilege (IPV6_FREEBIND), it would carry the refused data out. So drop these silently, except neighbour
        // discovery, since a link that comes up has no address yet.
        change.addChain(Chain.foreign, table: table)
        for rule in discovery { change.addRule(Chain.foreign, table: table, rule + accept) }
        change.addRule(Chain.foreign, table: table, [.verdict(.drop)])
        // The filter, or a server in the sandbox, would answer a packet with a forged source, and answers pass. So drop
        // these. Only resets may have a foreign source: they come in the name of the connection's original destination.
        change.addChain(Chain.disguised, table: table)
        change.addRule(Chain.disguised, table: table, .reset + accept)
        change.addRule(Chain.disguised, table: table, [.verdict(.drop)])
        for isIPv4 in [true, false] {
            rules.append(.destination(in: name(of: .protected, isIPv4: isIPv4), isIPv4: isIPv4) + refuse)
        }
        addEmbedded(ruleset, to: &change)
        rules.append(.family(isIPv4: false) + [.verdict(.jump(Chain.embedded))])
        // A packet that conntrack does not know and that does not begin a flow belongs to one that was ended.
        rules.append(.notPlainSYN + refuse)
        for isIPv4 in [true, false] {
            rules.append(.destination(mappedBy: learnedSet(isIPv4), isIPv4: isIPv4) + [.verdictMap(profiles)])
            let names = partNames(ruleset.parts, .blocks, isIPv4: isIPv4)
            rules.append(
                names.count == 1
                    ? .destination(mappedBy: names[0], isIPv4: isIPv4) + [.verdictMap(profiles)]
                    : .destination(judgedBy: partMap(isIPv4), isIPv4: isIPv4))
        }
        rules.append([.verdict(.goto(Chain.otherwise))])
        change.addChain(
            Chain.output, table: table, base: BaseChain(.filter, .output, priority: 0, dropsByDefault: true))
        for rule in rules { change.addRule(Chain.output, table: table, rule) }
    }

    /// Protected IPv4 addresses are protected inside IPv6 addresses as well. Forms that make a contiguous block are in
    /// the set instead.
    private static func addEmbedded(_ ruleset: SandboxRuleset, to change: inout Transaction) {
        change.addChain(Chain.embedded, table: table)
        for form in EmbeddedAddress.forms {
            for block in ruleset.protectedBlocks where form.block(of: block) == nil {
                guard let (value, mask) = form.pattern(of: block) else { continue }
                change.addRule(
                    Chain.embedded, table: table,
                    .destination(value, mask: mask) + [.verdict(.goto(Chain.refuse))])
            }
        }
    }

    private static var neighbourDiscovery: [[Expression]] {
        NeighbourDiscovery.sent.flatMap { type in
            NeighbourDiscovery.groups.map { .icmpv6(type: type) + .destination($0) }
                + [.icmpv6(type: type) + .destination(in: "neighbours6", isIPv4: false)]
        }
    }

    /// Accepts new connections only from the sandbox's link, where the gateway is. The host keeps other sandboxes off
    /// it.
    private static func addInput(to change: inout Transaction) {
        let accept: [Expression] = [.verdict(.accept)]
        var rules: [[Expression]] = [.input("lo") + accept, .connection([.established]) + accept]
        // Accept ICMP errors about flows, but no connections that a conntrack helper expects.
        for number in [IPProtocol.icmp, IPProtocol.icmpv6] {
            rules.append(.transport(number) + .connection([.related]) + accept)
        }
        for type in NeighbourDiscovery.received { rules.append(.icmpv6(type: type) + accept) }
        rules.append(.notPlainSYN + [.verdict(.drop)])
        for isIPv4 in [true, false] {
            rules.append(
                .transport(IPProtocol.tcp)
                    + .source(in: name(of: .neighbours, isIPv4: isIPv4), isIPv4: isIPv4) + accept)
        }
        change.addChain(Chain.input, table: table, base: BaseChain(.filter, .input, priority: 0, dropsByDefault: true))
        for rule in rules { change.addRule(Chain.input, table: table, rule) }
    }
}

/// ICMPv6 messages that IPv6 cannot work without (RFC 4861).
private enum NeighbourDiscovery {
    static let sent: [UInt8] = [133, 135, 136]
    static let received: [UInt8] = [134, 135, 136]
    static let groups = [CIDRBlock("ff02::/16")!, CIDRBlock("fe80::/10")!]
}
