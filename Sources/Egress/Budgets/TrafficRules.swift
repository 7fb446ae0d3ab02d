import Netfilter

/// The budgets that the kernel enforces, in a table of their own behind the policy's rules: they see only packets that
/// the policy allows.
package struct TrafficRules: Hashable, Sendable {
    package static let table = "sallyport_budget"
    static let chain = "output"

    var budgets: EgressBudgets
    /// Bytes counted by an earlier guard.
    var bytesUsed: UInt64 = 0
    var shared = SharedNamespace()
    var reporting = RefusalReporting.counted

    /// The budget of each rule in the chain, in order; nil for rules that pass uncounted traffic.
    var order: [Budget?] { rules.map(\.budget) }

    func install() -> Transaction {
        var change = Transaction()
        change.removeTable(Self.table)
        change.addTable(Self.table)
        change.addRefusingChain("refuse", table: Self.table)
        change.addRefusals(
            [.connections, .connectionsPerSecond, .bytesOut], table: Self.table, to: "refuse", reporting)
        change.addChain(
            Self.chain, table: Self.table, base: BaseChain(.filter, .output, priority: 10, dropsByDefault: false))
        for rule in rules { change.addRule(Self.chain, table: Self.table, rule.expressions) }
        return change
    }

    static func remove() -> Transaction {
        var change = Transaction()
        change.removeTable(table)
        return change
    }

    private var rules: [(budget: Budget?, expressions: [Expression])] {
        func refuse(_ reason: RefusalReason) -> [Expression] { [.counter, .verdict(.goto(reason.chain))] }
        var rules: [(Budget?, [Expression])] = shared.matches.map { (nil, $0 + [.verdict(.accept)]) }
        rules.append((nil, .toLocalAddress + [.verdict(.accept)]))
        if budgets.connections > 0 {
            let most = UInt32(clamping: budgets.connections)
            rules.append((.connections, .connection([.new]) + [.connectionsOver(most)] + refuse(.connections)))
        }
        if budgets.connectionsPerSecond > 0 {
            let rate = UInt64(budgets.connectionsPerSecond)
            let limit = Expression.packetsOver(rate: rate, burst: UInt32(clamping: 2 * rate))
            rules.append((.connectionRate, .connection([.new]) + [limit] + refuse(.connectionsPerSecond)))
        }
        if budgets.bytesOut > 0 {
            rules.append((.bytesOut, [.bytesOver(UInt64(budgets.bytesOut), used: bytesUsed)] + refuse(.bytesOut)))
        }
        return rules
    }
}
