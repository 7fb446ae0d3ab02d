import DNSFilter
import Logging
import NetworkPolicy
import Synchronization

/// Guards one sandbox: the one place where its policy, the kernel's rules and what names have taught are changed,
/// so that they cannot disagree.
///
/// Two locks. `changes` puts policy changes in a row, over disk and kernel. `state` is held for the moments in which
/// names teach something, and those in which one state takes another's place; the DNS thread takes only that one, so it never
/// waits for a disk, nor for the judgement of what 65,000 addresses may be (`changeState`).
final class EgressGuard: Sendable {
    struct State {
        var record: GuardRecord
        var evaluator: PolicyEvaluator
        var ruleset: SandboxRuleset
        var learned: LearnedAddresses
        /// Whether another state is being made of this one: what names would teach meanwhile waits.
        var isChanging = false
        /// When profiles that nothing uses any more may be cleared away again.
        var mayReinstallAt: UInt64 = 0
        /// Whether that is to be done now: names that need a profile wait for it.
        var mustReinstall = false
        /// When flows are looked at again.
        var mayRenewAt: UInt64 = 0
        var allowance = JudgementAllowance()
        /// Counts what may have left the kernel to make room.
        var displacements: UInt64 { learned.displacements &+ reinstallations }
        var reinstallations: UInt64 = 0
    }

    let id: String
    let token: String
    let namespacePath: String
    let settings: GuardSettings
    let kernel: any KernelRules
    let audit: GuardAudit
    let watch: GuardWatch
    let state: Mutex<State>
    /// Nil where the kernel keeps no budgets.
    let meter: TrafficMeter?
    /// Asked on the DNS thread only.
    let budgets: Mutex<NameBudgets>
    /// Whether flows may be open that an earlier change should have ended.
    let changes = Mutex(false)
    /// The sandbox's checked flows; none where nothing is checked.
    let flows = OpenFlows()
    /// `DNSPolicy.revision`.
    let revisions = Atomic<UInt64>(1)

    /// Puts the record's policy into the kernel, whatever was there before: rules are in force when this returns.
    /// Learned addresses that the kernel still holds are judged anew and kept where the policy still allows them.
    init(
        record: GuardRecord, dnsPort: UInt16, flowCheck: FlowCheckPoint? = nil, surroundings: LinkSurroundings,
        kernel: any KernelRules, settings: GuardSettings, meter: TrafficMeter? = nil, logger: Logger
    ) throws(EgressError) {
        self.meter = meter
        id = record.id
        token = record.token
        namespacePath = record.namespacePath
        self.settings = settings
        self.kernel = kernel
        budgets = Mutex(NameBudgets(settings.budgets, now: settings.ticks()))
        audit = GuardAudit(id: record.id, logger: logger, now: settings.now)
        watch = GuardWatch(
            log: EventLog(sandbox: record.id, capacity: settings.eventsKept, time: settings.time),
            outlets: settings.outlets,
            now: settings.now)

        let evaluator = settings.evaluator(record.policy)
        var ruleset = try SandboxRuleset(
            dnsPort: dnsPort, plan: evaluator.enforcedPlan, alwaysDeny: settings.alwaysDeny,
            neighbours: surroundings.neighbours)
        if let flowCheck {
            ruleset.flowCheckPort = flowCheck.port
            ruleset.exceptions.filterMark = flowCheck.mark
        }
        var fresh = State(
            record: record, evaluator: evaluator, ruleset: ruleset,
            learned: LearnedAddresses(capacity: settings.maxLearnedAddresses))
        fresh.recover(try kernel.learned(), settings: settings)
        try kernel.install(fresh.ruleset, learned: fresh.elements(now: settings.now()))
        state = Mutex(fresh)
        try cutRevokedFlows(forgettingNameQueries: true)
    }

    var status: PolicyStatus { status(of: state.withLock { $0.record.policy }) }
    var record: GuardRecord { state.withLock { $0.record } }

    /// Changes the policy: on disk, in the kernel, and for open flows, in that order of commitment. Returns when the
    /// kernel has it and the file is durable. On an error nothing has changed.
    func change(store: some RecordStore, _ change: PolicyChange) throws(EgressError) -> PolicyStatus {
        try restore()
        return try changes.withLock { mustCut throws(EgressError) in
            let before = state.withLock { $0 }
            // Not under the lock for which the names wait.
            let next = settings.successor(of: before.record.policy, inForce: before.evaluator, change)
            let policy = next.policy
            guard policy.ruleCount <= settings.maxRules else {
                throw .tooManyRules(count: policy.ruleCount, limit: settings.maxRules)
            }
            let status = status(of: policy, reason: Self.reason(change, removed: next.removed))
            guard policy != before.record.policy else { return status }
            var record = before.record
            record.policy = policy

            let staged = try store.stage(record, after: change)
            let undo = try adopt(record, next.evaluator, touched: next.touched)
            do throws(EgressError) {
                try staged.publish()
            } catch {
                rollBack(undo, store: store)
                throw error
            }
            // Names may share an address: that one of them may no longer be meant need not shut the address.
            var cut = endRevokedCheckedFlows()
            // Names may have taught more since the snapshot; what they have under the old policy is looked at there.
            if mustCut
                || state.withLock({ $0 }).revokesAccess(
                    next.touched, since: before, learned: undo.learned, settings: settings)
            {
                mustCut = true
                cut += try cutRevokedFlows()
                mustCut = false
            }
            audit.policyChanged(policy, flowsCut: cut)
            watch.policyChanged(policy, flowsCut: cut)
            return status
        }
    }

    /// Puts a record in force in the kernel.
    private func adopt(
        _ record: GuardRecord, _ evaluator: PolicyEvaluator, touched: TouchedTargets
    ) throws(EgressError) -> State.Undo {
        do throws(EgressError) {
            return try changeState { state throws(EgressError) in
                try state.adopt(record, evaluator: evaluator, touched: touched, kernel: kernel, settings: settings)
            }
        } catch {
            // If the kernel made the change and only its answer was lost, the old policy is put back now, not by and by.
            do throws(EgressError) { try putBack() } catch { audit.notRestored(error) }
            throw error
        }
    }

    /// Makes another state of the present one and puts it in its place, without the lock for which the names wait: to judge
    /// what 65,000 addresses may be, and to tell the kernel, takes a second, and one thread answers every sandbox's names. It
    /// goes on meanwhile with the state as it was; what names would teach this sandbox waits. On an error nothing has changed.
    /// - Precondition: the lock of the changes is held.
    func changeState<Result>(_ change: (inout State) throws(EgressError) -> Result) throws(EgressError) -> Result {
        var next = state.withLock { state in
            state.isChanging = true
            return state
        }
        let result: Result
        do throws(EgressError) {
            result = try change(&next)
        } catch {
            state.withLock { $0.isChanging = false }
            throw error
        }
        next.isChanging = false
        // Swapped, so that what is gone is taken apart after the lock.
        state.withLock { state in
            revise()
            next.mayRenewAt = state.mayRenewAt
            swap(&state, &next)
        }
        return result
    }

    /// Ends what the DNS filter was cleared to repeat. Called with the state's lock held, before what changes: who asks the
    /// policy after it hears of the change.
    func revise() { revisions.wrappingAdd(1, ordering: .releasing) }

    private static func reason(_ change: PolicyChange, removed: Int) -> String? {
        if case .remove = change, removed == 0 { PolicyStatus.nothingRemoved } else { nil }
    }

    private func status(of policy: Policy, reason: String? = nil) -> PolicyStatus {
        let mode = settings.flowCheck == nil ? PolicyStatus.enforcementMode : FlowCheckSettings.mode
        return PolicyStatus(policy: policy, reason: reason, enforcementMode: mode)
    }

    /// The kernel took the new rules but the disk did not take the record.
    private func rollBack(_ undo: State.Undo, store: some RecordStore) {
        do throws(EgressError) {
            _ = try changeState { state throws(EgressError) in
                try state.adopt(
                    undo.record, evaluator: undo.evaluator, restoring: undo.learned, kernel: kernel,
                    settings: settings)
            }
            // The file may be the new one already, when only its folder could not be synchronised.
            try store.stage(undo.record, after: .replace(undo.record.policy)).publish()
        } catch {
            audit.rollBackFailed(error)
        }
    }

    /// Ends flows that the policy in force would not let begin, but for checked ones.
    @discardableResult
    private func cutRevokedFlows(forgettingNameQueries: Bool = false) throws(EgressError) -> Int {
        let state = state.withLock { $0 }
        return try kernel.cut(forgettingNameQueries: forgettingNameQueries) {
            !state.allowsFlow(to: $0, $1, settings: settings)
        }
    }

    /// Ends checked flows that the policy in force would not let begin, by the name that each stated.
    private func endRevokedCheckedFlows() -> Int {
        let state = state.withLock { $0 }
        return flows.end { !state.allowsCheckedFlow($0, $1, settings: settings) }
    }
}
