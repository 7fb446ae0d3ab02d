import Netfilter
import NetworkPolicy

/// The ruleset in nf_tables' terms: whole, or as a difference.
///
/// ```
/// output:  local · established · neighbour discovery · protected ✗ · not a first segment ✗ ·
///          learned (tcp, udp) · allow (tcp, udp, icmp) · deny ✗ · default
/// ```
enum RulesetTransactions {
    private static let table = SandboxRuleset.table
    static let learnedSets = (v4: "learned4", v6: "learned6")

    private enum Chain {
        static let names = "names"
        static let refuse = "refuse"
        static let otherwise = "otherwise"
        static let output = "output"
        static let input = "input"
        static let forward = "forward"
    }

    /// Replaces whatever table there is, in one transaction: no packet sees a moment without rules.
    static func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) -> Transaction {
        var change = Transaction()
        change.removeTable(table)
        change.addTable(table)
        addSets(ruleset, to: &change)
        add(learned, to: &change)
        change.addChain(Chain.refuse, table: table)
        change.addRule(Chain.refuse, table: table, .transport(IPProtocol.tcp) + [.reject(.tcpReset)])
        change.addRule(Chain.refuse, table: table, [.reject(.prohibited)])
        change.addChain(Chain.otherwise, table: table)
        addDefault(ruleset.defaultAction, to: &change)
        addOutput(to: &change)
        addInput(to: &change)
        change.addChain(
            Chain.forward, table: table, base: BaseChain(.filter, .forward, priority: 0, dropsByDefault: true))
        change.addChain(
            Chain.names, table: table, base: BaseChain(.nat, .output, priority: -100, dropsByDefault: false))
        addRedirects(ruleset.dnsPort, to: &change)
        return change
    }

    /// The change from one ruleset to another.
    static func apply(
        _ difference: RulesetDifference, forgetting: [IPAddress], restoring: [LearnedElement]
    ) -> Transaction {
        var change = Transaction()
        for set in difference.sets {
            let name = name(of: set.set, isIPv4: set.isIPv4)
            change.deleteElements(set.removed.flatMap(SetElement.range), set: name, table: table)
            change.addElements(set.added.flatMap(SetElement.range), set: name, table: table)
        }
        if let action = difference.defaultAction {
            change.flushChain(Chain.otherwise, table: table)
            addDefault(action, to: &change)
        }
        if let port = difference.dnsPort {
            change.flushChain(Chain.names, table: table)
            addRedirects(port, to: &change)
        }
        for isIPv4 in [true, false] {
            let gone = forgetting.filter { $0.isIPv4 == isIPv4 }.map { SetElement($0) }
            if !gone.isEmpty { change.removeElements(gone, set: learnedSet(isIPv4), table: table) }
        }
        add(restoring, to: &change)
        return change
    }

    /// Puts learned addresses in, each with its full time.
    static func learn(_ elements: [LearnedElement]) -> Transaction {
        var change = Transaction()
        add(elements, to: &change)
        return change
    }

    private static func learnedSet(_ isIPv4: Bool) -> String { isIPv4 ? learnedSets.v4 : learnedSets.v6 }

    private static func name(of set: SandboxRuleset.RangeSet, isIPv4: Bool) -> String {
        set.rawValue + (isIPv4 ? "4" : "6")
    }

    private static func add(_ elements: [LearnedElement], to change: inout Transaction) {
        for isIPv4 in [true, false] {
            let living = elements.filter { $0.address.isIPv4 == isIPv4 && $0.lifetime > 0 }
            guard !living.isEmpty else { continue }
            change.refreshElements(
                living.map { SetElement($0.address, timeout: $0.lifetime * 1000, userData: $0.names) },
                set: learnedSet(isIPv4), table: table)
        }
    }

    private static func addSets(_ ruleset: SandboxRuleset, to change: inout Transaction) {
        for isIPv4 in [true, false] {
            let key: SetKey = isIPv4 ? .ipv4 : .ipv6
            change.addSet(learnedSet(isIPv4), table: table, key: key, timeouts: true)
            for set in SandboxRuleset.RangeSet.allCases {
                let name = name(of: set, isIPv4: isIPv4)
                change.addSet(name, table: table, key: key, intervals: true)
                change.addElements(
                    ruleset.ranges(set, isIPv4: isIPv4).flatMap(SetElement.range), set: name, table: table)
            }
        }
    }

    private static func addDefault(_ action: Action, to change: inout Transaction) {
        change.addRule(Chain.otherwise, table: table, [.verdict(action == .allow ? .accept : .goto(Chain.refuse))])
    }

    /// Every query goes to the filter, whichever resolver it was meant for.
    private static func addRedirects(_ port: UInt16, to change: inout Transaction) {
        for transport in [IPProtocol.udp, IPProtocol.tcp] {
            change.addRule(
                Chain.names, table: table, .destinationPort(53, transport: transport) + [.redirect(port: port)])
        }
    }

    private static func addOutput(to change: inout Transaction) {
        let refuse: [Expression] = [.verdict(.goto(Chain.refuse))], accept: [Expression] = [.verdict(.accept)]
        var rules: [[Expression]] = [
            // A redirected query is on its way to loopback by another interface: its address tells, its interface does not.
            .toLocalAddress + accept,
            .connection([.established, .related]) + accept,
        ]
        for type in NeighbourDiscovery.sent {
            for block in NeighbourDiscovery.groups { rules.append(.icmpv6(type: type) + .destination(block) + accept) }
            rules.append(.icmpv6(type: type) + .destination(in: "neighbours6", isIPv4: false) + accept)
        }
        for isIPv4 in [true, false] {
            rules.append(.destination(in: name(of: .protected, isIPv4: isIPv4), isIPv4: isIPv4) + refuse)
        }
        // What conntrack does not know and is no first segment belongs to a flow that was ended.
        rules.append(.notPlainSYN + refuse)
        for isIPv4 in [true, false] {
            for transport in [IPProtocol.tcp, IPProtocol.udp] {
                rules.append(.transport(transport) + .destination(in: learnedSet(isIPv4), isIPv4: isIPv4) + accept)
            }
            let echo = isIPv4 ? IPProtocol.icmp : IPProtocol.icmpv6
            for transport in [IPProtocol.tcp, IPProtocol.udp, echo] {
                rules.append(
                    .transport(transport) + .destination(in: name(of: .allow, isIPv4: isIPv4), isIPv4: isIPv4) + accept)
            }
            rules.append(.destination(in: name(of: .deny, isIPv4: isIPv4), isIPv4: isIPv4) + refuse)
        }
        rules.append([.verdict(.goto(Chain.otherwise))])
        change.addChain(
            Chain.output, table: table, base: BaseChain(.filter, .output, priority: 0, dropsByDefault: true))
        for rule in rules { change.addRule(Chain.output, table: table, rule) }
    }

    /// Only what is next to the sandbox may come in: there the gateway stands, and the host keeps other sandboxes away.
    private static func addInput(to change: inout Transaction) {
        let accept: [Expression] = [.verdict(.accept)]
        var rules: [[Expression]] = [.input("lo") + accept, .connection([.established, .related]) + accept]
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

/// ICMPv6 without which there is no IPv6 at all (RFC 4861).
private enum NeighbourDiscovery {
    static let sent: [UInt8] = [133, 135, 136]
    static let received: [UInt8] = [134, 135, 136]
    static let groups = [CIDRBlock("ff02::/16")!, CIDRBlock("fe80::/10")!]
}
