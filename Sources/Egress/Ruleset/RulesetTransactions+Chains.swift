import Addresses
import Netfilter
import NetworkPolicy

/// The rules of the table's chains.
extension RulesetTransactions {
    static func addDefault(_ action: Action, to change: inout Transaction) {
        let verdict: Expression.Verdict = action == .allow ? .accept : .goto(RefusalReason.policy.chain)
        change.addRule(Chain.otherwise, table: table, [.verdict(verdict)])
    }

    /// Redirects every query to the filter, whichever resolver it was for.
    static func addRedirects(_ port: UInt16, to change: inout Transaction) {
        for transport in [IPProtocol.udp, IPProtocol.tcp] {
            change.addRule(
                Chain.names, table: table, .destinationPort(53, transport: transport) + [.redirect(port: port)])
        }
    }

    /// Redirects the first segment of a flow to a learned address to the flow check. The check's own connections pass.
    static func addChecks(_ exceptions: SharedNamespace, to change: inout Transaction) {
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

    /// The chains of what is refused, without those that drop silently.
    static func addRefusals(_ reporting: RefusalReporting, to change: inout Transaction) {
        let reasons: [RefusalReason] = [.policy, .protected, .ended]
        change.addRefusals(reasons, table: table, to: Chain.refuse, reporting) { chain, change in
            change.addRule(chain, table: table, listenerReport + [.verdict(.goto(Chain.refuse))])
        }
    }

    /// The kernel's own reports of which groups it listens to (RFC 3810), which it sends whenever a link comes up. Refused,
    /// but nobody's doing: not reported.
    private static let listenerReport: [Expression] = .icmpv6(type: 143) + .destination(CIDRBlock("ff02::16/128")!)

    static func addOutput(_ ruleset: SandboxRuleset, _ reporting: RefusalReporting, to change: inout Transaction) {
        let exceptions = ruleset.exceptions, isChecking = ruleset.flowCheckPort != nil
        func refuse(_ reason: RefusalReason) -> [Expression] { [.verdict(.goto(reason.chain))] }
        let accept: [Expression] = [.verdict(.accept)]
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
        change.addRule(Chain.foreign, table: table, listenerReport + [.verdict(.drop)])
        change.addReport(of: .forged, in: Chain.foreign, table: table, reporting)
        change.addRule(Chain.foreign, table: table, [.verdict(.drop)])
        // The filter, or a server in the sandbox, would answer a packet with a forged source, and answers pass. So drop
        // these. Only resets may have a foreign source: they come in the name of the connection's original destination.
        change.addChain(Chain.disguised, table: table)
        change.addRule(Chain.disguised, table: table, .reset + accept)
        change.addReport(of: .forged, in: Chain.disguised, table: table, reporting)
        change.addRule(Chain.disguised, table: table, [.verdict(.drop)])
        for isIPv4 in [true, false] {
            rules.append(.destination(in: name(of: .protected, isIPv4: isIPv4), isIPv4: isIPv4) + refuse(.protected))
        }
        addEmbedded(ruleset, to: &change)
        rules.append(.family(isIPv4: false) + [.verdict(.jump(Chain.embedded))])
        // A packet that conntrack does not know and that does not begin a flow belongs to one that was ended.
        rules.append(.notPlainSYN + refuse(.ended))
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
            for block in ruleset.protected.blocks where form.block(of: block) == nil {
                guard let (value, mask) = form.pattern(of: block) else { continue }
                change.addRule(
                    Chain.embedded, table: table,
                    .destination(value, mask: mask) + [.verdict(.goto(RefusalReason.protected.chain))])
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
    static func addInput(_ reporting: RefusalReporting, to change: inout Transaction) {
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
        // What others say to everybody on the link is no attempt to connect, and not told.
        rules.append(.toLocalAddress + [.verdict(.goto(RefusalReason.inbound.chain))])
        change.addSilentRefusal(.inbound, table: table, reporting)
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
