import NetworkPolicy
import Synchronization

/// Restores rules that another program with rights over the namespace has removed or changed (`nft flush ruleset`).
extension EgressGuard {
    /// Seconds between two checks, and so the longest time, plus the work itself, that a sandbox is without its rules.
    static let restorationInterval: UInt64 = 1

    /// If other programs have changed tables of the namespace, restores everything, and ends flows that began meanwhile
    /// and are not allowed. Otherwise it costs one short question to the kernel.
    /// - Returns: whether it had to.
    @discardableResult
    func restore() throws(EgressError) -> Bool {
        try makeRoom()
        guard try mustRestore() else { return false }
        return try changes.withLock { _ throws(EgressError) in try putBack() }
    }

    /// `restore` for who looks again soon: an error is only reported.
    package func restoreOrReport() {
        do throws(EgressError) { try restore() } catch { audit.notRestored(error) }
    }

    /// Removes unused profiles when names need new ones.
    private func makeRoom() throws(EgressError) {
        guard state.withLock({ $0.mustReinstall }) else { return }
        try changes.withLock { _ throws(EgressError) in
            try changeState { state throws(EgressError) in
                let now = settings.now()
                state.mayReinstallAt = now + 60
                try state.reinstall(now: now, kernel: kernel, settings: settings)
            }
        }
    }

    private func mustRestore() throws(EgressError) -> Bool {
        if meter?.isMissing == true { return true }
        return try kernel.wasChangedByOthers()
    }

    /// `restore`, with the changes lock held.
    @discardableResult
    func putBack() throws(EgressError) -> Bool {
        // Another thread may have restored it while this one waited for the lock.
        guard try mustRestore() else { return false }
        var trouble: EgressError?
        // Before the rules, so that later changes of tables are known to be others'.
        do throws(EgressError) { try meter?.restore() } catch { trouble = error }
        try changeState { state throws(EgressError) in
            try state.reinstall(now: settings.now(), kernel: kernel, settings: settings)
        }
        if let trouble { throw trouble }
        // Queries to other resolvers were not redirected meanwhile, and their flows would go on past the filter.
        let state = state.withLock { $0 }
        let cut = try kernel.cut { address, traffic in
            traffic == .udp(port: 53) || traffic == .tcp(port: 53)
                || !state.allowsFlow(to: address, traffic, settings: settings)
        }
        audit.rulesRestored(flowsCut: cut)
        return true
    }
}
