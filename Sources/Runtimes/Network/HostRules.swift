import Addresses
import Netfilter

/// The table of the machine's firewall that servers with one tag keep in force.
package enum HostRules {
    package static func table(tag: String) -> String { "sallyport_\(tag)" }

    /// Removes it, if it is there. Nothing would part sandboxes that still ran from each other any more.
    package static func remove(tag: String) throws(RuntimeError) {
        do throws(NetfilterError) {
            var change = Transaction()
            change.removeTable(table(tag: tag))
            try NetfilterSocket().commit(change)
        } catch { throw .system(action: "removing the host's rules", reason: "\(error)") }
    }

    /// Removes what servers with one tag have added to their container engine's own firewall. It blocks.
    /// - Parameters:
    ///   - pool: the addresses of their sandboxes, and `poolV6`, too.
    /// - Returns: how many rules were removed.
    package static func removeFromEngine(tag: String, pool: CIDRBlock, poolV6: CIDRBlock) -> Int {
        // Those for ports are there only where a server has published any.
        EnginePassage(
            links: SandboxLink.linkPrefix + tag.prefix(4), addresses: pool, addressesV6: poolV6, folder: "/",
            publishes: true
        ).close()
    }
}
