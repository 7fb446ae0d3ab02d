import NetworkPolicy
import Synchronization

/// What one guard tells those who watch its sandbox: events, and what was seen while it was observed.
final class GuardWatch: Sendable {
    private struct State {
        var sightings = Sightings()
        var observed = ObservedNames()
    }

    let log: EventLog
    private let state = Mutex(State())
    private let now: @Sendable () -> UInt64

    init(log: EventLog, now: @escaping @Sendable () -> UInt64) {
        self.log = log
        self.now = now
    }

    var observed: ObservedNames { state.withLock { $0.observed } }

    func denied(_ name: DomainName, type: UInt16, _ verdict: Verdict) {
        guard isNews(name, .denied) else { return }
        log.append(.name(name, type: type, verdict))
    }

    func wouldDeny(_ name: DomainName, type: UInt16, _ verdict: Verdict) {
        guard isNews(name, .wouldDeny) else { return }
        log.append(.wouldDeny(name, type: type, verdict))
    }

    /// A name resolved.
    /// - Parameter verdict: asked for when it is needed only: most answers are no news.
    func answered(_ name: DomainName, type: UInt16, isObserving: Bool, verdict: () -> Verdict) {
        let isNews = state.withLock { state in
            if isObserving { state.observed.insert(name) }
            return state.sightings.isNews(name, .allowed, now: now())
        }
        guard isNews else { return }
        let verdict = verdict()
        if verdict.isAllowed { log.append(.name(name, type: type, verdict)) }
    }

    func addressesRemoved(_ name: DomainName, _ count: Int) {
        guard isNews(name, .addressesRemoved) else { return }
        log.append(.addressesRemoved(name, count: count))
    }

    func policyChanged(_ policy: Policy, flowsCut: Int) {
        state.withLock { $0.sightings.clear() }
        log.append(.policyChanged(policy))
        if flowsCut > 0 { log.append(.flowsCut(flowsCut)) }
    }

    private func isNews(_ name: DomainName, _ outcome: Sightings.Outcome) -> Bool {
        state.withLock { $0.sightings.isNews(name, outcome, now: now()) }
    }
}
