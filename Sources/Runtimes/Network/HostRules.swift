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
}
