import DNSFilter
import Egress
import Netfilter
import NetworkPolicy

extension Sidecar {
    /// Removes everything that a sidecar has put into this process's namespace, so that nothing is refused there any
    /// more. A running sidecar would put it back.
    package static func open() throws(EgressError) {
        do throws(NetfilterError) {
            let tables = try NetfilterSocket()
            var change = Transaction()
            for table in [
                SandboxRuleset.table, SidecarRuleset.table, SidecarRuleset.closedTable, TrafficRules.table,
            ] { change.removeTable(table) }
            try tables.commit(change)
            guard !LinkSurroundings.devices().isEmpty else { return }
            // A kernel without egress hooks has no such table.
            var packets = Transaction(family: .netdev)
            packets.removeTable(PacketRules.table)
            try? tables.commit(packets)
        } catch {
            throw .kernel("\(error)")
        }
    }

    /// Whether a sidecar guards this process's namespace now. Before Linux 5.12 it cannot be told, and is denied.
    package static func isRunning() throws(EgressError) -> Bool {
        try EgressError.ofKernel { () throws(NetfilterError) in try NetfilterSocket().hasTable(SidecarRuleset.claim) }
    }

    /// Describes what a sidecar with these settings would do. Reads policy and lists, changes nothing.
    /// - Throws: `EgressError` for a file that cannot be read or is invalid.
    package static func plan(_ configuration: SidecarConfiguration) throws(EgressError) -> String {
        let policy = try firstPolicy(configuration)
        let folder = configuration.rulesFolder
        let always = try OperatorLists.read(folder, mustExist: configuration.needsRulesFolder).rules
        let upstreams = configuration.dns.upstreams.map(\.description).joined(separator: " ")
        let inForce = policy.mode == .observe ? "observed only" : "enforced"
        return """
            mode:      \(configuration.mode.rawValue)
            policy:    \(policy.defaultAction.rawValue) by default, \(policy.ruleCount) rules, \(inForce)
            lists:     \(always.denied.count) always denied, \(always.allowed.count) always allowed
            upstreams: \(upstreams.isEmpty ? "none: no name would resolve" : upstreams)
            API:       \(configuration.address), \(configuration.token == nil ? "open to whoever reaches it" : "with a token")

            """
    }
}
