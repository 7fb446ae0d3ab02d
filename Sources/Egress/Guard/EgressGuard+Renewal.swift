import Addresses
import NetworkPolicy
import Synchronization

/// An address stays open while a flow to it lives, beyond its record (docs/threats.md, E16): a client that keeps one may
/// open a second one to where the first one goes, without asking for the name again.
extension EgressGuard {
    /// Seconds between two looks at the open flows.
    static let renewalInterval: UInt64 = 10
    /// The most seconds after its record's end for which a flow keeps an address open. It must close some time, since
    /// the address may have been given to somebody else.
    static let maxRenewal: UInt64 = 3600

    /// Extends addresses that are about to close and still in use. Cheap if there are none. To be called every few
    /// seconds.
    /// - Returns: how many addresses were extended.
    @discardableResult
    func renewLearned() throws(EgressError) -> Int {
        let now = settings.now()
        // Consider all that would close before the look after the next.
        let soon = now + min(2 * Self.renewalInterval + 1, settings.lifetime(of: 0))
        let ending = state.withLock { state in
            guard now >= state.mayRenewAt else { return [IPAddress]() }
            state.mayRenewAt = now + min(Self.renewalInterval, settings.lifetime(of: 0) / 4)
            return state.learned.ending(before: soon, bound: Self.maxRenewal, now: now)
        }
        guard !ending.isEmpty else { return 0 }
        return try changes.withLock { _ throws(EgressError) in
            let live = try kernel.liveDestinations()
            let used = ending.filter(live.contains)
            guard !used.isEmpty else { return 0 }
            return try changeState { state throws(EgressError) in
                try state.renew(used, kernel: kernel, settings: settings)
            }
        }
    }
}

extension EgressGuard {
    /// `renewLearned` for who looks again soon: an error is only reported.
    package func renewOrReport() {
        do throws(EgressError) { try renewLearned() } catch { audit.notRenewed(error) }
    }
}

extension EgressGuard.State {
    /// Updates the kernel, then this state. Names, and so profiles, do not change.
    mutating func renew(
        _ addresses: [IPAddress], kernel: any KernelRules, settings: GuardSettings
    ) throws(EgressError) -> Int {
        let now = settings.now()
        let until = now + settings.lifetime(of: 0)
        var next: [IPAddress: LearnedAddresses.Entry] = [:]
        for address in addresses {
            // The policy may have changed by now.
            guard let entry = learned.entry(renewing: address, until: until, now: now),
                entry.liveNames(now: now).allSatisfy({ allows(address, learnedFrom: $0, settings: settings) })
            else { continue }
            next[address] = entry
        }
        guard !next.isEmpty else { return 0 }
        try kernel.apply(
            RulesetDifference(adding: []),
            learned: next.map { address, entry in
                LearnedChange(
                    address: address, before: learned.entries[address]?.profile,
                    after: LearnedElement(address, entry, now: now))
            })
        for (address, entry) in next { learned.store(entry, for: address) }
        return next.count
    }
}
