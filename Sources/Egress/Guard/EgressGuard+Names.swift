import Addresses
import DNSFilter
import NetworkPolicy
import Synchronization

/// Answers the DNS filter, on its thread.
extension EgressGuard: DNSPolicy {
    package func refusal(_ name: DomainName, type: UInt16) -> Verdict? {
        // Do not read the clock if there is no such budget.
        if settings.budgets.queriesPerSecond > 0,
            let refusal = budgets.withLock({ $0.admitQuery(now: settings.ticks()) })
        {
            return exceeded(refusal)
        }
        let (evaluator, isObserving) = state.withLock { ($0.evaluator, $0.isObserving) }
        let verdict = evaluator.refusal(of: name)
        if settings.budgets.distinctNamesPerHour > 0, isObserving || verdict == nil,
            let refusal = budgets.withLock({ $0.admit(name, now: settings.ticks()) })
        {
            return exceeded(refusal)
        }
        guard let verdict else { return nil }
        guard isObserving, !evaluator.isEnforcedWhileObserving(name) else { return verdict }
        watch.wouldDeny(name, type: type, verdict)
        return nil
    }

    package func refusalUpstream(_ name: DomainName, type: UInt16) -> Verdict? {
        guard settings.budgets.wildcardBytesPerMinute > 0 else { return nil }
        let (evaluator, isObserving) = state.withLock { ($0.evaluator, $0.isObserving) }
        // If everything else is open, limiting names would prevent no leak.
        guard !isObserving, case .wildcard(let zone)? = evaluator.rule(for: name)?.target else { return nil }
        let refusal = budgets.withLock { $0.admit(name, type: type, below: zone, now: settings.ticks()) }
        return refusal.map { exceeded($0) }
    }

    private func exceeded(_ refusal: NameBudgets.Refusal) -> Verdict {
        audit.budgetExceeded(refusal.budget)
        watch.budgetExceeded(refusal.budget)
        return Verdict(action: .deny, reason: .budget(refusal.text))
    }

    package func permits(_ address: IPAddress, for name: DomainName) -> Bool {
        state.withLock { $0.allows(address, learnedFrom: name, settings: settings) }
    }

    package func learn(_ addresses: [LearnedAddress], for name: DomainName) -> Learning {
        do throws(EgressError) {
            let learning = try state.withLock { state throws(EgressError) in
                guard !state.isChanging else { return Learning.later }
                let before = state.displacements
                // If another name had to make room for this one, approved answers with it are no longer valid.
                defer { if state.displacements != before { revise() } }
                return try state.learn(addresses, from: name, kernel: kernel, settings: settings)
            }
            if learning == .withheld {
                audit.answerWithheld(name, "the policy changed, or too many addresses are open or shared by many names")
            }
            return learning
        } catch {
            audit.answerWithheld(name, "\(error)")
            return .withheld
        }
    }

    package var revision: UInt64 { revisions.load(ordering: .acquiring) }

    package func validSeconds(of addresses: [LearnedAddress], for name: DomainName) -> UInt32 {
        // Budgets that count queries or names must see every query.
        guard settings.budgets.queriesPerSecond == 0, settings.budgets.distinctNamesPerHour == 0 else { return 0 }
        return state.withLock { state in
            // While observing, denials are reported again from time to time, so answers are not repeated unasked.
            state.isObserving ? 0 : state.validSeconds(of: addresses, for: name, settings: settings)
        }
    }

    package func record(_ event: DNSEvent) {
        if let time = event.forwardTime { audit.forwarded(milliseconds: time) }
        switch event.outcome {
        case .denied(let verdict) where verdict.isTemporary: return
        case .denied(let verdict):
            let now = settings.now()
            audit.nameDenied(event.name, verdict, now: now)
            watch.denied(event.name, type: event.type, verdict, now: now)
        case .failed(let failure, let reason): audit.queryFailed(event.name, failure, reason)
        case .typeRefused: audit.typeRefused(event.name, event.type)
        case .answered(let addresses, let removed):
            if removed > 0 {
                audit.addressesRemoved(event.name, removed)
                watch.addressesRemoved(event.name, removed)
            }
            guard addresses + removed > 0 else { return }
            watch.noted(event.name, type: event.type, note(event, removed: removed))
            guard addresses > 0 else { return }
            let (evaluator, isObserving) = state.withLock { ($0.evaluator, $0.isObserving) }
            watch.answered(event.name, type: event.type, isObserving: isObserving) {
                evaluator.evaluate(event.name)
            }
        }
    }

    private func note(_ event: DNSEvent, removed: Int) -> AnswerNotes.Note {
        // Most answers have nothing to note, and the clock need not be read.
        guard removed > 0 || !event.aliases.isEmpty else { return AnswerNotes.Note() }
        return AnswerNotes.Note(
            aliases: event.aliases, removed: event.removed, removedCount: removed, time: settings.time())
    }
}
