import NetworkPolicy

/// Changes of a guard's state: the kernel first, then its mirror, so that an error leaves both as they were.
extension EgressGuard.State {
    /// What is needed to go back after a change that the disk refused.
    struct Undo {
        var record: GuardRecord
        var learned: LearnedAddresses
        var forgotten: [IPAddress: LearnedAddresses.Entry]
    }

    /// Whether the policy in force lets this name's address be reached.
    func allows(_ address: IPAddress, learnedFrom name: DomainName, settings: GuardSettings) -> Bool {
        !ruleset.isProtected(address)
            && evaluator.evaluate(name).isAllowed
            && evaluator.evaluate(address, learnedFrom: name).isAllowed
            && settings.filter.permits(address, for: name, policy: evaluator)
    }

    /// Takes over what the kernel has learned under an earlier guard, and returns what of it may stay.
    mutating func recover(_ elements: [LearnedElement], settings: GuardSettings) -> [LearnedElement] {
        let now = settings.now()
        var kept: [LearnedElement] = []
        for element in elements where element.lifetime > 0 {
            let expiry = now + element.lifetime
            let names = (LearnedNames.decode(element.names) ?? []).filter {
                allows(element.address, learnedFrom: $0, settings: settings)
            }
            guard !names.isEmpty, kept.count < settings.maxLearnedAddresses else { continue }
            let entry = LearnedAddresses.Entry(
                names: Dictionary(uniqueKeysWithValues: Set(names).map { ($0, expiry) }), expiry: expiry)
            learned.store(entry, for: element.address)
            kept.append(element.keeping(entry.names))
        }
        return kept
    }

    /// Puts a record's policy in force.
    mutating func adopt(
        _ record: GuardRecord, kernel: any KernelRules, settings: GuardSettings
    ) throws(EgressError) -> Undo {
        let now = settings.now()
        var next = self
        next.record = record
        next.evaluator = PolicyEvaluator(record.policy)
        next.ruleset.apply(next.evaluator.addressPlan)
        let judge = next
        let forgotten = next.learned.retain { judge.allows($0, learnedFrom: $1, settings: settings) }
        let live = forgotten.filter { $0.value.mayBeInKernel(now: now) }
        try kernel.apply(
            RulesetDifference(from: ruleset, to: next.ruleset), forgetting: Array(live.keys), restoring: [])
        let undo = Undo(record: self.record, learned: learned, forgotten: live)
        self = next
        return undo
    }

    /// Goes back. What was learned in between stays where the old policy allows it.
    mutating func undo(_ undo: Undo, kernel: any KernelRules, settings: GuardSettings) throws(EgressError) {
        let now = settings.now()
        var previous = self
        previous.record = undo.record
        previous.evaluator = PolicyEvaluator(undo.record.policy)
        previous.ruleset.apply(previous.evaluator.addressPlan)
        let judge = previous
        let newlyForgotten = previous.learned.retain { judge.allows($0, learnedFrom: $1, settings: settings) }
        let restored = undo.forgotten.filter { $0.value.expiry > now }
        for (address, entry) in undo.learned.entries where previous.learned.entries[address] == nil {
            previous.learned.store(entry, for: address)
        }
        try kernel.apply(
            RulesetDifference(from: ruleset, to: previous.ruleset),
            forgetting: newlyForgotten.filter { $0.value.mayBeInKernel(now: now) }.map(\.key),
            restoring: restored.map { LearnedElement($0.key, $0.value, now: now) })
        self = previous
    }

    /// Opens a name's addresses. `false` when the policy no longer allows one, when there is no room, or when the
    /// kernel refused: then the answer must not go out.
    mutating func learn(
        _ addresses: [(address: IPAddress, timeToLive: UInt32)], from name: DomainName, kernel: any KernelRules,
        settings: GuardSettings
    ) throws(EgressError) -> Bool {
        let now = settings.now()
        var next: [IPAddress: LearnedAddresses.Entry] = [:]
        for (address, timeToLive) in addresses {
            guard allows(address, learnedFrom: name, settings: settings) else { return false }
            if let known = learned.entries[address], known.names[name] != nil,
                known.expiry >= now + UInt64(timeToLive), known.expiry >= now + UInt64(settings.lifetimeGrace)
            {
                continue
            }
            let expiry = now + settings.lifetime(of: timeToLive)
            guard let entry = learned.entry(learning: address, from: name, until: expiry, now: now) else {
                return false
            }
            next[address] = entry
        }
        guard !next.isEmpty else { return true }
        try kernel.learn(next.map { LearnedElement($0.key, $0.value, now: now) })
        for (address, entry) in next { learned.store(entry, for: address) }
        return true
    }
}

extension LearnedElement {
    init(_ address: IPAddress, _ entry: LearnedAddresses.Entry, now: UInt64) {
        self.init(
            address: address, lifetime: entry.expiry > now ? entry.expiry - now : 0,
            names: LearnedNames.encode(entry.names))
    }

    func keeping(_ names: [DomainName: UInt64]) -> LearnedElement {
        LearnedElement(address: address, lifetime: lifetime, names: LearnedNames.encode(names))
    }
}
