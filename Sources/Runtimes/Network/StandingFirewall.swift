import Logging
import Netfilter
import Synchronization

/// Keeps the host's rules in force. `systemctl restart nftables`, a firewall's reload and `nft flush ruleset` remove
/// all tables, including this one, which separates sandboxes from each other and from the host.
final class StandingFirewall: Sendable {
    private let state: Mutex<HostFirewall>
    private let tables: NetfilterSocket

    /// Installs the rules in this thread's namespace, replacing existing ones.
    init(_ firewall: HostFirewall) throws(NetfilterError) {
        state = Mutex(firewall)
        tables = try NetfilterSocket()
        try tables.commit(firewall.transaction, isWhole: true)
    }

    /// Chains of other programs that drop forwarded packets.
    var obstacles: [FoundChain] {
        get throws(NetfilterError) { try state.withLock(\.self).obstacles(tables) }
    }

    /// Forwards the machine's ports to a sandbox, or no longer; nothing where no ports are published.
    /// - Returns: false, and nothing has changed, where there would be too many rules.
    func forward(_ id: String, _ target: PortForwarding.Target?) throws(NetfilterError) -> Bool {
        try state.withLock { firewall throws(NetfilterError) in
            guard var forwarding = firewall.forwarding, forwarding.targets[id] != target else { return true }
            forwarding.targets[id] = target
            guard target == nil || !forwarding.isFull else { return false }
            var changed = firewall
            changed.forwarding = forwarding
            do throws(NetfilterError) {
                try tables.commit(forwarding.replaceTargets(in: firewall.table, links: firewall.links))
            } catch {
                // Another program may have removed the table.
                try tables.commit(changed.transaction, isWhole: true)
            }
            firewall = changed
            return true
        }
    }

    /// Does `restore`, and tells what came of it.
    func keep(_ logger: Logger) {
        do throws(NetfilterError) {
            guard try restore() else { return }
            logger.error("another program removed the host's rules; they have been restored")
        } catch { logger.error("the host's rules cannot be checked", metadata: ["error": "\(error)"]) }
    }

    /// Restores the rules if any are missing. Other changes are ignored, or two servers would react to each other for
    /// ever. Costs one short request if nothing was changed.
    /// - Returns: whether it had to.
    func restore() throws(NetfilterError) -> Bool {
        guard try tables.wasChangedByOthers() else { return false }
        return try state.withLock { firewall throws(NetfilterError) in
            // Before checking the rules, so that a change in between is noticed by the next call.
            try tables.acceptChanges()
            do throws(NetfilterError) {
                for (chain, count) in firewall.transaction.ruleCounts
                where try tables.counts(of: chain, table: firewall.table).count != count {
                    try tables.commit(firewall.transaction, isWhole: true)
                    return true
                }
            } catch {
                // Not known to be whole: the next call looks again.
                tables.forgetChanges()
                throw error
            }
            return false
        }
    }
}
