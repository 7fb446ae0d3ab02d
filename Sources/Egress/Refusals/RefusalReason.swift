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
    // What is refused because a budget is used up; counted where the budget is (`TrafficMeter`).
    case connections
    case connectionsPerSecond
    case bytesOut

    /// Where a sidecar refuses what only it may do.
    package static let sidecarTable = "sallyport_sidecar"

    /// The chain to which rules send what they refuse for this reason.
    package var chain: String { "refuse-" + rawValue }

    /// Chains whose rules count all packets that are refused for this reason; none where somebody else counts them.
    var counted: [(table: String, chain: String)] {
        switch self {
        case .policy, .protected, .ended: [(SandboxRuleset.table, chain)]
        case .forged:
            [RulesetTransactions.Chain.foreign, RulesetTransactions.Chain.disguised].map { (SandboxRuleset.table, $0) }
        case .reserved: [(Self.sidecarTable, chain)]
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

    /// Adds the rules that count and report what comes to a chain.
    mutating func addReport(
        of reason: RefusalReason, in chain: String, table: String, _ reporting: RefusalReporting
    ) {
        addRule(chain, table: table, reporting.rule(reason))
    }
}
