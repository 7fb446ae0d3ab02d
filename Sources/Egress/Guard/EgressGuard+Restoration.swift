import NetworkPolicy
import Synchronization

/// Rules that somebody else with power over the namespace has taken away or changed (`nft flush ruleset`) are put back.
extension EgressGuard {
    /// Seconds between two looks: the longest time, but for the work itself, for which a sandbox stays without its rules.
    static let restorationInterval: UInt64 = 1

    /// Puts everything back where tables of the namespace were changed by others, and ends the flows that began
    /// meanwhile and may not. One short question to the kernel where nothing was changed.
    /// - Returns: whether it had to.
    @discardableResult
    func restore() throws(EgressError) -> Bool {
        try makeRoom()
        guard try mustRestore() else { return false }
        return try changes.withLock { _ throws(EgressError) in try putBack() }
    }

    /// Clears away profiles that nothing uses any more, where names need others.
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

    /// `restore`, with the lock of the changes held.
    @discardableResult
    func putBack() throws(EgressError) -> Bool {
        // Somebody may have been here while this waited for the lock.
        guard try mustRestore() else { return false }
        var trouble: EgressError?
        // Before the rules: what comes after them is others' doing.
        do throws(EgressError) { try meter?.restore() } catch { trouble = error }
        try changeState { state throws(EgressError) in
            try state.reinstall(now: settings.now(), kernel: kernel, settings: settings)
        }
        if let trouble { throw trouble }
        // Names asked elsewhere meanwhile were not redirected; such a flow would go on past the filter.
        let state = state.withLock { $0 }
        let cut = try kernel.cut { address, traffic in
            traffic == .udp(port: 53) || traffic == .tcp(port: 53)
                || !state.allowsFlow(to: address, traffic, settings: settings)
        }
        audit.rulesRestored(flowsCut: cut)
        return true
    }
}
