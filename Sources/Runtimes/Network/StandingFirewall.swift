import Netfilter

/// Keeps the host's rules in force. `systemctl restart nftables`, a firewall's reload and `nft flush ruleset` remove
/// all tables, including this one, which separates sandboxes from each other and from the host.
final class StandingFirewall: Sendable {
    let firewall: HostFirewall
    private let tables: NetfilterSocket

    /// Installs the rules in this thread's namespace, replacing existing ones.
    init(_ firewall: HostFirewall) throws(NetfilterError) {
        self.firewall = firewall
        tables = try NetfilterSocket()
        try tables.commit(firewall.transaction, isWhole: true)
    }

    /// Chains of other programs that drop forwarded packets.
    var obstacles: [FoundChain] {
        get throws(NetfilterError) { try firewall.obstacles(tables) }
    }

    /// Restores the rules if any are missing. Other changes are ignored, or two servers would react to each other for
    /// ever. Costs one short request if nothing was changed.
    /// - Returns: whether it had to.
    func restore() throws(NetfilterError) -> Bool {
        guard try tables.wasChangedByOthers() else { return false }
        // Before checking the rules, so that a change in between is noticed by the next call.
        try tables.acceptChanges()
        for (chain, count) in firewall.transaction.ruleCounts
        where try tables.counts(of: chain, table: firewall.table).count != count {
            try tables.commit(firewall.transaction, isWhole: true)
            return true
        }
        return false
    }
}
