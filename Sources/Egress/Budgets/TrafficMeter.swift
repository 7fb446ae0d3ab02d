import Netfilter
import NetworkPolicy
import Synchronization

/// Puts the kernel's budgets into a sandbox's namespace and reads what they refused.
final class TrafficMeter: Sendable {
    private let tables: NetfilterSocket
    private let order: [Budget?]
    private let seen = Mutex<[Budget: UInt64]>([:])

    /// Nil where no budget is set. Then what an earlier guard left is taken out.
    /// - Parameter namespace: nil for that of this process.
    init?(
        _ budgets: EgressBudgets, namespace: NetworkNamespace?, shared: SharedNamespace = SharedNamespace()
    ) throws(EgressError) {
        let tables = try NamespaceRules.inside(namespace) { () throws(EgressError) in
            try Self.translated { () throws(NetfilterError) in try NetfilterSocket() }
        }
        var rules = TrafficRules(budgets: budgets, shared: shared)
        let before = try Self.translated { () throws(NetfilterError) in
            try tables.counts(of: TrafficRules.chain, table: TrafficRules.table)
        }
        guard budgets.limitsTraffic else {
            if !before.isEmpty {
                try Self.translated { () throws(NetfilterError) in try tables.commit(TrafficRules.remove()) }
            }
            return nil
        }
        // What was sent stays sent, whoever counts it.
        rules.bytesUsed = before.compactMap(\.quotaUsed).first ?? 0
        let change = rules.install()
        try Self.translated { () throws(NetfilterError) in try tables.commit(change) }
        self.tables = tables
        order = rules.order
    }

    /// What each budget refused since the last call, in packets.
    func refusals() throws(EgressError) -> [Budget: Int] {
        let counts = try Self.translated { () throws(NetfilterError) in
            try tables.counts(of: TrafficRules.chain, table: TrafficRules.table)
        }
        return seen.withLock { seen in
            var new: [Budget: Int] = [:]
            for (budget, count) in zip(order, counts) {
                guard let budget else { continue }
                let before = seen[budget] ?? 0
                if count.packets > before { new[budget] = Int(count.packets - before) }
                seen[budget] = count.packets
            }
            return new
        }
    }

    private static func translated<Result>(_ body: () throws(NetfilterError) -> Result) throws(EgressError) -> Result {
        do throws(NetfilterError) { return try body() } catch { throw .kernel("\(error)") }
    }
}

extension EgressGuard {
    /// Reads the kernel's counts and tells whoever watches.
    func readMeter() {
        guard let refusals = try? meter?.refusals() else { return }
        for (budget, count) in refusals {
            audit.budgetExceeded(budget, times: count)
            watch.budgetExceeded(budget, times: count)
        }
    }
}
