import DNSFilter
import NetworkPolicy

/// Changes of a guard's state: the kernel first, then its mirror, so that an error leaves both as they were.
extension EgressGuard.State {
    /// What is needed to go back after a change that the disk refused.
    struct Undo {
        var record: GuardRecord
        var evaluator: PolicyEvaluator
        var learned: LearnedAddresses
    }

    /// Takes over what the kernel has learned under an earlier guard, as far as it may stay.
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

    /// What the kernel is to hold, for an installation.
    func elements(now: UInt64) -> [LearnedElement] {
        learned.entries.compactMap { LearnedElement($0.key, $0.value, now: now) }
    }

    /// Puts a record's policy in force.
    /// - Parameter evaluator: of what is in force under the policy, where there is one already.
    /// - Parameter touched: where the policy can decide otherwise than the one before.
    /// - Parameter restoring: what an earlier policy had learned, for going back to it.
    mutating func adopt(
        _ record: GuardRecord, evaluator: PolicyEvaluator? = nil, touched: TouchedTargets = .everything,
        restoring: LearnedAddresses? = nil, kernel: any KernelRules, settings: GuardSettings
    ) throws(EgressError) -> Undo {
        let now = settings.now()
        var next = self
        next.record = record
        next.evaluator = evaluator ?? settings.evaluator(record.policy)
        for (address, entry) in restoring?.entries ?? [:] {
            guard var present = next.learned.entries[address] else {
                next.learned.store(entry.absent, for: address)
                continue
            }
            present.names.merge(entry.names) { max($0, $1) }
            next.learned.store(present, for: address)
        }
        let judge = next
        // Looked up before names leave: of what stays, too, something else may be decided then.
        let judged = next.learned.touched(by: touched)
        let forgotten = next.learned.retain(judged) {
            judge.allows($0, learnedFrom: $1, settings: settings)
        }
        let leaving = forgotten.compactMap { LearnedChange(leaving: $0.key, $0.value, now: now) }
        let (fits, blocks) = next.plan(touched)
        let changes =
            leaving
            + next.settle(judged.keys, now: now, settings: settings) { address, entry in
                // A later guard finds beside it which names opened the address, and shall not find what was revoked.
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

    /// Takes the evaluator's address rules over into the ruleset.
    /// - Returns: whether there was room, and what became of the blocks where not all were looked at.
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

    /// Opens a name's addresses. Withheld when the policy no longer allows one, when there is no room, when too much of
    /// this was to be done a moment ago, or when the kernel refused: then the answer must not go out.
    mutating func learn(
        _ addresses: [LearnedAddress], from name: DomainName, kernel: any KernelRules, settings: GuardSettings
    ) throws(EgressError) -> Learning {
        let now = settings.now()
        // To make room takes long where much was learned: not here, where everybody's names are answered.
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

    /// The entry of an address that many names share, where one more of them changes nothing in the kernel: it has the
    /// address for long enough, open in the same way, and beside it there is no room for another name. After a restart
    /// such a name has to be asked for again.
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

    /// The kernel first, then its mirror.
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

    /// Seconds for which `learn` of these has nothing to do.
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

    /// Everything anew, with the profiles that are in use.
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

    /// Gives every living one of these addresses the profile that its names have now. One for which there is no room leaves the kernel,
    /// and its name must be asked for again.
    /// - Parameter isRewritten: whether the kernel gets a living one anew though it keeps its profile.
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
    /// `nil` for what the kernel is not to hold.
    init?(_ address: IPAddress, _ entry: LearnedAddresses.Entry, now: UInt64) {
        guard let profile = entry.profile, entry.expiry > now else { return nil }
        self.init(
            address: address, lifetime: entry.expiry - now, names: LearnedNames.encode(entry.names), profile: profile)
    }
}

extension LearnedChange {
    /// `nil` for what is surely not in the kernel.
    init?(leaving address: IPAddress, _ entry: LearnedAddresses.Entry, now: UInt64) {
        guard let profile = entry.profile, entry.mayBeInKernel(now: now) else { return nil }
        self.init(address: address, before: profile)
    }
}

extension LearnedAddresses.Entry {
    /// The entry as it is when the kernel has not got it.
    var absent: Self {
        var entry = self
        entry.profile = nil
        return entry
    }
}
