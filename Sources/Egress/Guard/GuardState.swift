import Addresses
import DNSFilter
import NetworkPolicy

/// Changes of a guard's state. The kernel is changed first, then this copy, so that an error leaves both unchanged.
extension EgressGuard.State {
    /// What is needed to undo a change when the disk fails.
    struct Undo {
        var record: GuardRecord
        var evaluator: PolicyEvaluator
        var learned: LearnedAddresses
    }

    /// Takes over addresses that an earlier guard learned, as far as the policy allows them.
    mutating func recover(_ found: [FoundElement], settings: GuardSettings) {
        let now = settings.now()
        for element in found.prefix(settings.maxLearnedAddresses) where element.lifetime > 0 {
            let expiry = now + element.lifetime
            let names = (LearnedNames.decode(element.names) ?? []).filter {
                allows(element.address, learnedFrom: $0, settings: settings)
            }
            guard !names.isEmpty else { continue }
            let entry = LearnedAddresses.Entry(
                names: Dictionary(uniqueKeysWithValues: Set(names).map { ($0, expiry) }), expiry: expiry)
            learned.store(entry, for: element.address)
        }
        _ = settle(learned.entries.keys, now: now, settings: settings)
    }

    /// The learned addresses to install in the kernel.
    func elements(now: UInt64) -> [LearnedElement] {
        learned.entries.compactMap { LearnedElement($0.key, $0.value, now: now) }
    }

    /// Makes a record's policy the one in force.
    /// - Parameter evaluator: the policy's evaluator, if there is one already.
    /// - Parameter touched: the targets whose verdicts may differ from the previous policy.
    /// - Parameter restoring: addresses learned under an earlier policy, when returning to it.
    mutating func adopt(
        _ record: GuardRecord, evaluator: PolicyEvaluator? = nil, touched: TouchedTargets = .everything,
        restoring: LearnedAddresses? = nil, kernel: any KernelRules, settings: GuardSettings
    ) throws(EgressError) -> Undo {
        let now = settings.now()
        var next = self
        next.record = record
        next.evaluator =
            evaluator ?? PolicyEvaluator(record.policy, operatorRules: self.evaluator.operatorRules)
        for (address, entry) in restoring?.entries ?? [:] {
            guard var present = next.learned.entries[address] else {
                next.learned.store(entry.absent, for: address)
                continue
            }
            present.names.merge(entry.names) { max($0, $1) }
            next.learned.store(present, for: address)
        }
        let judge = next
        // Collected before names are removed, because the verdict on the addresses that remain may change as well.
        let judged = next.learned.touched(by: touched)
        let forgotten = next.learned.retain(judged) {
            judge.allows($0, learnedFrom: $1, settings: settings)
        }
        let leaving = forgotten.compactMap { LearnedChange(leaving: $0.key, $0.value, now: now) }
        let (fits, blocks) = next.plan(touched)
        let changes =
            leaving
            + next.settle(judged.keys, now: now, settings: settings) { address, entry in
                // The kernel stores the names beside the address for a later guard, which must not find revoked ones.
                judged[address].map { $0.names.count != entry.names.count } ?? false
            }
        if fits, !next.ruleset.profiles.isFull, !next.ruleset.hasOutgrownParts {
            let difference = RulesetDifference(from: ruleset, to: next.ruleset, blocks: blocks)
            if !difference.isEmpty || !changes.isEmpty { try kernel.apply(difference, learned: changes) }
        } else {
            try next.reinstall(now: now, kernel: kernel, settings: settings)
        }
        let undo = Undo(record: self.record, evaluator: self.evaluator, learned: learned)
        self = next
        return undo
    }

    /// Applies the evaluator's address rules to the ruleset.
    /// - Returns: whether there was room, and the changed blocks if only some were examined.
    private mutating func plan(_ touched: TouchedTargets) -> (fits: Bool, blocks: RangeTable<UInt32>.Change?) {
        guard case .some(_, _, let blocks) = touched else { return (ruleset.apply(plan), nil) }
        var change = RangeTable<UInt32>.Change()
        if isObserving { return (true, change) }
        for block in blocks {
            guard let part = ruleset.apply(evaluator.addressPlan(in: block), in: block.range) else {
                return (false, nil)
            }
            change.join(part)
        }
        return (true, change)
    }

    /// Opens a name's addresses. The answer must be withheld if the policy no longer allows one, if there is no room,
    /// if too many judgements were needed recently, or if the kernel refused.
    mutating func learn(
        _ addresses: [LearnedAddress], from name: DomainName, kernel: any KernelRules, settings: GuardSettings
    ) throws(EgressError) -> Learning {
        let now = settings.now()
        // Making room takes long if much was learned, so it is not done on this thread, which serves all sandboxes.
        if ruleset.profiles.isFull, now >= mayReinstallAt { mustReinstall = true }
        var profiles = ruleset.profiles
        var next: [IPAddress: LearnedAddresses.Entry] = [:], joined = next
        for item in addresses {
            let (address, timeToLive) = (item.address, item.lifetime)
            guard allows(address, learnedFrom: name, settings: settings) else { return .withheld }
            if let known = learned.entries[address], known.profile != nil,
                known.expiry >= now + UInt64(max(timeToLive, settings.lifetimeGrace))
            {
                if known.names[name] ?? 0 > now { continue }
                guard allowance.take(names: known.names.count, now: now) else { return .withheld }
                if let entry = joining(address, known, name, profiles, now: now, settings: settings) {
                    joined[address] = entry
                    continue
                }
            }
            guard allowance.take(names: learned.entries[address]?.names.count ?? 0, now: now) else {
                return .withheld
            }
            let expiry = now + settings.lifetime(of: timeToLive)
            guard var entry = learned.entry(learning: address, from: name, until: expiry, now: now) else {
                return .withheld
            }
            let judged = profile(of: address, names: entry.liveNames(now: now), settings: settings)
            guard let profile = profiles.number(of: judged) else { return mustReinstall ? .later : .withheld }
            entry.profile = profile
            next[address] = entry
        }
        if !next.isEmpty { try open(next, profiles, now: now, kernel: kernel) }
        for (address, entry) in joined { learned.store(entry, for: address) }
        return .opened
    }

    /// The entry for one more name of an address that many share, if nothing changes in the kernel: the address is open
    /// long enough and in the same way, and the kernel has no room for another name beside it. After a restart such a
    /// name has to be asked for again.
    private mutating func joining(
        _ address: IPAddress, _ known: LearnedAddresses.Entry, _ name: DomainName, _ profiles: ProfileTable,
        now: UInt64,
        settings: GuardSettings
    ) -> LearnedAddresses.Entry? {
        guard !LearnedNames.hasRoom(beside: known.names, for: name),
            let entry = learned.entry(learning: address, from: name, until: known.expiry, now: now)
        else { return nil }
        let judged = profile(of: address, names: entry.liveNames(now: now), settings: settings)
        return profiles.has(judged, as: known.profile) ? entry : nil
    }

    /// Updates the kernel, then this state.
    private mutating func open(
        _ next: [IPAddress: LearnedAddresses.Entry], _ profiles: ProfileTable, now: UInt64, kernel: any KernelRules
    ) throws(EgressError) {
        let changes = next.map { address, entry in
            LearnedChange(
                address: address, before: learned.entries[address]?.profile,
                after: LearnedElement(address, entry, now: now))
        }
        let difference = RulesetDifference(
            adding: profiles.added(since: ruleset.profiles), flowCheckPort: ruleset.flowCheckPort)
        try kernel.apply(difference, learned: changes)
        ruleset.profiles = profiles
        for (address, entry) in next { learned.store(entry, for: address) }
    }

    /// See `DNSPolicy.validSeconds`.
    func validSeconds(of addresses: [LearnedAddress], for name: DomainName, settings: GuardSettings) -> UInt32 {
        guard !ruleset.profiles.isFull else { return 0 }
        let now = settings.now()
        return addresses.reduce(UInt32.max) { least, address in
            let standing = learned.validSeconds(
                of: address.address, from: name, timeToLive: UInt64(address.lifetime),
                grace: UInt64(settings.lifetimeGrace), now: now)
            return min(least, UInt32(clamping: standing))
        }
    }

    /// Installs everything again, with only the profiles in use.
    mutating func reinstall(
        now: UInt64, kernel: any KernelRules, settings: GuardSettings
    ) throws(EgressError) {
        reinstallations += 1
        mustReinstall = false
        ruleset.profiles = ProfileTable()
        guard ruleset.apply(plan) else { throw SandboxRuleset.noRoom }
        ruleset.reshard()
        for (address, entry) in learned.entries { learned.store(entry.absent, for: address) }
        _ = settle(learned.entries.keys, now: now, settings: settings)
        try kernel.install(ruleset, learned: elements(now: now))
    }

    /// Sets the present profile of each of these addresses that is still open. If there is no room for a profile, its
    /// addresses are removed from the kernel, and their names must be asked for again.
    /// - Parameter isRewritten: whether an open address is written to the kernel again although its profile stays the
    ///   same.
    private mutating func settle(
        _ addresses: some Sequence<IPAddress>, now: UInt64, settings: GuardSettings,
        where isRewritten: (IPAddress, LearnedAddresses.Entry) -> Bool = { _, _ in false }
    ) -> [LearnedChange] {
        var changes: [LearnedChange] = []
        for address in addresses {
            guard var entry = learned.entries[address], entry.mayBeInKernel(now: now) else { continue }
            let judged = profile(of: address, names: entry.liveNames(now: now), settings: settings)
            let profile = entry.expiry > now ? ruleset.profiles.number(of: judged) : nil
            guard profile != entry.profile || (profile != nil && isRewritten(address, entry)) else { continue }
            let before = entry.profile
            entry.profile = profile
            changes.append(
                LearnedChange(address: address, before: before, after: LearnedElement(address, entry, now: now)))
            learned.store(entry, for: address)
        }
        return changes
    }
}

extension LearnedElement {
    /// `nil` for an address that should not be in the kernel.
    init?(_ address: IPAddress, _ entry: LearnedAddresses.Entry, now: UInt64) {
        guard let profile = entry.profile, entry.expiry > now else { return nil }
        self.init(
            address: address, lifetime: entry.expiry - now, names: LearnedNames.encode(entry.names), profile: profile)
    }
}

extension LearnedChange {
    /// `nil` for an address that is certainly not in the kernel.
    init?(leaving address: IPAddress, _ entry: LearnedAddresses.Entry, now: UInt64) {
        guard let profile = entry.profile, entry.mayBeInKernel(now: now) else { return nil }
        self.init(address: address, before: profile)
    }
}

extension LearnedAddresses.Entry {
    /// The entry, marked as not in the kernel.
    var absent: Self {
        var entry = self
        entry.profile = nil
        return entry
    }
}
