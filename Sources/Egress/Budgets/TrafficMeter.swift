import Netfilter
import NetworkPolicy
import Synchronization

/// Installs the budgets that the kernel enforces in a sandbox's namespace, and reads their counters.
final class TrafficMeter: Sendable {
    private struct Counts {
        /// Packets refused by each budget's rule, as last read.
        var seen: [Budget: UInt64] = [:]
        /// Refusals not reported yet.
        var untold: [Budget: Int] = [:]
        /// Bytes sent in the sandbox's life, as last read.
        var bytesUsed: UInt64
        /// Whether the rules could not be restored.
        var isMissing = false
    }

    private let tables: NetfilterSocket
    private let rules: TrafficRules
    private let counted: Mutex<Counts>

    /// Nil if no budget is set; rules of an earlier guard are removed then.
    /// - Parameters:
    ///   - namespace: nil for this process's own.
    ///   - tables: an open socket of that namespace, if there is one. Closing a netlink socket soon after a change of the
    ///     tables waits for the kernel's clean-up, 6 ms and more (measured), so sockets are better shared.
    init?(
        _ budgets: EgressBudgets, namespace: NetworkNamespace?, tables: NetfilterSocket? = nil,
        shared: SharedNamespace = SharedNamespace(), reporting: RefusalReporting = .counted
    ) throws(EgressError) {
        let tables = try NamespaceRules.inside(namespace) { () throws(EgressError) in
            try EgressError.ofKernel { () throws(NetfilterError) in
                if let tables { tables } else { try NetfilterSocket() }
            }
        }
        var rules = TrafficRules(budgets: budgets, shared: shared, reporting: reporting)
        let before = try Self.counts(tables)
        guard budgets.limitsTraffic else {
            if !before.isEmpty {
                try EgressError.ofKernel { () throws(NetfilterError) in try tables.commit(TrafficRules.remove()) }
            }
            return nil
        }
        // Bytes that an earlier guard counted still count.
        rules.bytesUsed = before.compactMap(\.quotaUsed).first ?? 0
        let change = rules.install()
        try EgressError.ofKernel { () throws(NetfilterError) in try tables.commit(change) }
        self.tables = tables
        self.rules = rules
        counted = Mutex(Counts(bytesUsed: rules.bytesUsed))
    }

    /// Whether `restore` has to be called again.
    var isMissing: Bool { counted.withLock { $0.isMissing } }

    /// Packets refused by each budget since the last call.
    func refusals() throws(EgressError) -> [Budget: Int] {
        try counted.withLock { counted throws(EgressError) in
            try look(&counted)
            defer { counted.untold = [:] }
            return counted.untold
        }
    }

    /// Installs the rules again after another program may have removed or changed them. Byte counts go on from the last
    /// value read, refusals are reported once, connections are counted from zero.
    func restore() throws(EgressError) {
        try counted.withLock { counted throws(EgressError) in
            counted.isMissing = true
            try look(&counted)
            var rules = rules
            rules.bytesUsed = counted.bytesUsed
            let change = rules.install()
            try EgressError.ofKernel { () throws(NetfilterError) in try tables.commit(change) }
            counted.seen = [:]
            counted.isMissing = false
        }
    }

    private func look(_ counted: inout Counts) throws(EgressError) {
        let counts = try Self.counts(tables), order = rules.order
        counted.bytesUsed = max(counted.bytesUsed, counts.compactMap(\.quotaUsed).max() ?? 0)
        // These are not our rules, so the counters cannot be assigned to budgets.
        guard counts.count == order.count else { return }
        for (budget, count) in zip(order, counts) {
            guard let budget else { continue }
            let before = counted.seen[budget] ?? 0
            if count.packets > before { counted.untold[budget, default: 0] += Int(count.packets - before) }
            counted.seen[budget] = count.packets
        }
    }

    private static func counts(_ tables: NetfilterSocket) throws(EgressError) -> [RuleCount] {
        try EgressError.ofKernel { () throws(NetfilterError) in
            try tables.counts(of: TrafficRules.chain, table: TrafficRules.table)
        }
    }
}

extension EgressGuard {
    /// Reads the kernel's counters and reports refusals.
    package func readMeter() {
        guard let refusals = try? meter?.refusals() else { return }
        for (budget, count) in refusals {
            audit.budgetExceeded(budget, times: count)
            watch.budgetExceeded(budget, times: count)
        }
    }
}
