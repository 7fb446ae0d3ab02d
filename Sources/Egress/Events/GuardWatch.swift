import FlowCheck
import NetworkPolicy
import Synchronization
import System

/// Reports of one guard: its events, and the names seen while its sandbox was observed.
///
/// The event ring gets only news (`Sightings`); outlets get everything.
final class GuardWatch: Sendable {
    private struct State {
        var sightings = Sightings()
        var observed = ObservedTraffic()
        var notes = AnswerNotes()
        /// When a budget was last reported, how often it refused since, and when last.
        var exceeded: [Budget: (told: UInt64, count: Int, last: UInt64)] = [:]
        var refusals = RefusalTallies()
        /// Of outsiders, who must not be able to use up what there is for the sandbox's own packets.
        var inbound = RefusalTallies(capacity: 16, rate: Rate(burst: 8, refill: 1, period: 30))
    }

    let log: EventLog
    private let outlets: [any EventOutlet]
    private let state = Mutex(State())
    private let now: @Sendable () -> UInt64

    init(log: EventLog, outlets: [any EventOutlet] = [], now: @escaping @Sendable () -> UInt64) {
        self.log = log
        self.outlets = outlets
        self.now = now
    }

    /// The budgets that refused something in the last minute.
    var lately: [Budget] {
        let now = now()
        return state.withLock { $0.exceeded.filter { now < $0.value.last + Sightings.repetition }.map(\.key) }
    }

    var observed: ObservedTraffic { state.withLock { $0.observed } }

    /// Where an observed sandbox's connections go. Those that nobody has answered are no use.
    func observed(_ flows: Set<LiveFlow>) {
        let used = flows.filter(\.isAnswered)
        state.withLock { $0.observed.insert(used) }
    }

    func notes(of name: DomainName) -> [AnswerNotes.Note] { state.withLock { $0.notes.notes(of: name) } }

    /// What there is to an answer besides its addresses.
    func noted(_ name: DomainName, type: UInt16, _ note: AnswerNotes.Note) {
        state.withLock { $0.notes.put(note, for: name, type: type) }
    }

    /// - Parameter now: seconds.
    func denied(_ name: DomainName, type: UInt16, _ verdict: Verdict, now: UInt64) {
        let isNews = state.withLock { $0.sightings.isNews(name, .denied, now: now) }
        tell(.name(name, type: type, verdict), isNews: isNews)
    }

    func wouldDeny(_ name: DomainName, type: UInt16, _ verdict: Verdict) {
        tell(.wouldDeny(name, type: type, verdict), isNews: isNews(name, .wouldDeny))
    }

    /// A name resolved.
    /// - Parameter verdict: evaluated only when needed, since most answers are no news.
    func answered(_ name: DomainName, type: UInt16, isObserving: Bool, verdict: () -> Verdict) {
        let isNews = state.withLock { state in
            if isObserving { state.observed.insert(name) }
            return state.sightings.isNews(name, .allowed, now: now())
        }
        guard isNews || !outlets.isEmpty else { return }
        let verdict = verdict()
        if verdict.isAllowed { tell(.name(name, type: type, verdict), isNews: isNews) }
    }

    func addressesRemoved(_ name: DomainName, _ count: Int) {
        tell(.addressesRemoved(name, count: count), isNews: isNews(name, .addressesRemoved))
    }

    /// Emits at most one event per minute and budget, with the count since the last one.
    func budgetExceeded(_ budget: Budget, times: Int = 1) {
        let refusals = state.withLock { state -> Int? in
            let seen = state.exceeded[budget]
            let count = (seen?.count ?? 0) + times
            let now = now(), isNews = seen.map { now >= $0.told + Sightings.repetition } ?? true
            state.exceeded[budget] = isNews ? (now, 0, now) : (seen!.told, count, now)
            return isNews ? count : nil
        }
        if let refusals { tell(.budgetExceeded(budget, refusals: refusals)) }
    }

    func flowRefused(_ event: FlowEvent) {
        tell(.flowRefused(event), isNews: isNews(event.name ?? .root, .flowRefused))
    }

    /// To be called about once a second, also when nothing was refused: what was counted is told after a while.
    /// - Parameter omitted: packets of which nothing but their number is known.
    func packetsRefused(_ refusals: [PacketRefusal], omitted: Int) {
        let now = now()
        let (told, untold) = state.withLock { state in
            let first = refusals.compactMap { refusal in
                refusal.reason == .inbound
                    ? state.inbound.add(refusal, now: now) : state.refusals.add(refusal, now: now)
            }
            let inbound = state.inbound.settle(now: now)
            state.refusals.omit(omitted + (inbound.omitted ?? 0))
            let settled = state.refusals.settle(now: now)
            return (first + inbound.refusals + settled.refusals, settled.omitted)
        }
        for refusal in told { tell(.packetsRefused(refusal)) }
        if let untold { tell(.refusalsOmitted(untold)) }
    }

    func policyChanged(_ policy: Policy, flowsCut: Int) {
        state.withLock { $0.sightings.clear() }
        tell(.policyChanged(policy))
        if flowsCut > 0 { tell(.flowsCut(flowsCut)) }
    }

    private func tell(_ kind: @autoclosure () -> DecisionEvent.Kind, isNews: Bool = true) {
        guard isNews || !outlets.isEmpty else { return }
        let event = log.event(kind())
        if isNews { log.append(event) }
        for outlet in outlets { outlet.put(event, of: log.sandbox) }
    }

    private func isNews(_ name: DomainName, _ outcome: Sightings.Outcome) -> Bool {
        state.withLock { $0.sightings.isNews(name, outcome, now: now()) }
    }
}
