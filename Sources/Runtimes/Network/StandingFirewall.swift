import Netfilter

/// The host's rules in force: `systemctl restart nftables`, a firewall's reload and `nft flush ruleset` take away every table
/// there is, and with this one the walls between sandboxes, and between them and the host.
final class StandingFirewall: Sendable {
    let firewall: HostFirewall
    private let tables: NetfilterSocket

    /// Puts the rules into the namespace of this thread, whatever was there of them.
    init(_ firewall: HostFirewall) throws(NetfilterError) {
        self.firewall = firewall
        tables = try NetfilterSocket()
        try tables.commit(firewall.transaction, isWhole: true)
    }

    /// What others drop beside them.
    var obstacles: [FoundChain] {
        get throws(NetfilterError) { try firewall.obstacles(tables) }
    }

    /// Puts the rules back where some of them are gone. Changes of others that leave them alone are left alone, too: two
    /// servers would go on and on about each other's. One short question to the kernel where nobody has changed anything.
    /// - Returns: whether it had to.
    func restore() throws(NetfilterError) -> Bool {
        guard try tables.wasChangedByOthers() else { return false }
        // Before the look at them: what comes in between is told by the next call.
        try tables.acceptChanges()
        for (chain, count) in firewall.transaction.ruleCounts
        where try tables.counts(of: chain, table: firewall.table).count != count {
            try tables.commit(firewall.transaction, isWhole: true)
            return true
        }
        return false
    }
}
