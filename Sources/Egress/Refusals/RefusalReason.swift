import Netfilter

/// Why the kernel refuses a packet of a sandbox. The raw value is what operators see: the label of a metric, and the
/// prefix of the kernel's message.
package enum RefusalReason: String, CaseIterable, Hashable, Sendable {
    /// The policy's rules, or its default action.
    case policy
    /// No policy opens the address.
    case protected
    /// It belongs to no open connection, and begins none.
    case ended
    /// Its source address is none of the sandbox's.
    case forged
    /// Only the guard may use this port; in a namespace that it shares with the sandbox.
    case reserved
    /// A packet socket sent it past the other rules (`PacketRules`).
    case packetSocket
    /// Somebody who may not connect to the sandbox tried.
    case inbound
    // What is refused because a budget is used up; counted where the budget is (`TrafficMeter`).
    case connections
    case connectionsPerSecond
    case bytesOut

    /// A chain whose rules count.
    struct Place: Hashable {
        var family = Transaction.Family.inet
        var table: String
        var chain: String
    }

    /// Where a sidecar refuses what only it may do.
    package static let sidecarTable = "sallyport_sidecar"

    /// The chain to which rules send what they refuse for this reason.
    package var chain: String { "refuse-" + rawValue }

    /// Chains whose rules count all packets that are refused for this reason; none where somebody else counts them.
    var counted: [Place] {
        switch self {
        case .policy, .protected, .ended, .inbound: [Place(table: SandboxRuleset.table, chain: chain)]
        case .forged:
            [RulesetTransactions.Chain.foreign, RulesetTransactions.Chain.disguised].map {
                Place(table: SandboxRuleset.table, chain: $0)
            }
        case .reserved: [Place(table: Self.sidecarTable, chain: chain)]
        case .packetSocket: [Place(family: .netdev, table: PacketRules.table, chain: chain)]
        case .connections, .connectionsPerSecond, .bytesOut: []
        }
    }
}

/// How a namespace's rules tell of the packets that they refuse.
package enum RefusalReporting: Hashable, Sendable {
    /// They count them: a kernel without nfnetlink_log.
    case counted
    /// They also report some of them (`RefusalLog`).
    case logged

    /// The group of our rules' messages in each namespace.
    static let group: UInt16 = 0x5a11
    /// A second and reason. What is beyond it is only counted, so that no flood reaches the guard.
    static let packetsPerSecond: UInt64 = 10
    static let burst: UInt32 = 20
    /// Of each packet: room for IPv6, a few extension headers, and the ports.
    static let bytesOfPacket: UInt32 = 128

    /// A rule without a verdict. The limit stands in front of the log, so the kernel makes no message of what is beyond it.
    func rule(_ reason: RefusalReason) -> [Expression] {
        switch self {
        case .counted: [.counter]
        case .logged:
            [
                .counter, .packetsWithin(rate: Self.packetsPerSecond, burst: Self.burst),
                .log(group: Self.group, prefix: reason.rawValue, bytes: Self.bytesOfPacket),
            ]
        }
    }
}

extension Transaction {
    /// Adds a chain for each reason, which counts and reports packets and sends them on to `refuse`. Only refused packets
    /// come here; those that pass are neither counted nor looked at.
    /// - Parameter before: adds rules for what is not to be reported.
    package mutating func addRefusals(
        _ reasons: [RefusalReason], table: String, to refuse: String, _ reporting: RefusalReporting,
        before: (_ chain: String, inout Transaction) -> Void = { _, _ in }
    ) {
        for reason in reasons {
            addChain(reason.chain, table: table)
            before(reason.chain, &self)
            addReport(of: reason, in: reason.chain, table: table, reporting)
            addRule(reason.chain, table: table, [.verdict(.goto(refuse))])
        }
    }

    /// The same, but what comes to the chain is dropped: nobody is answered.
    mutating func addSilentRefusal(_ reason: RefusalReason, table: String, _ reporting: RefusalReporting) {
        addChain(reason.chain, table: table)
        addReport(of: reason, in: reason.chain, table: table, reporting)
        addRule(reason.chain, table: table, [.verdict(.drop)])
    }

    /// Adds the rules that count and report what comes to a chain.
    mutating func addReport(
        of reason: RefusalReason, in chain: String, table: String, _ reporting: RefusalReporting
    ) {
        addRule(chain, table: table, reporting.rule(reason))
    }
}
