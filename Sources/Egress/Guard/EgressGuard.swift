import Addresses
import DNSFilter
import FlowCheck
import Logging
import NetworkPolicy
import Synchronization

/// Guards one sandbox. Its policy, the kernel's rules and the learned addresses are changed only here, so that they
/// cannot disagree.
///
/// There are two locks. `changes` serialises changes of the policy, including disk and kernel work. `state` is held
/// only while addresses are learned and while one state is swapped for the next. The DNS thread takes only `state`, so
/// it never waits for a disk or for judging 65,000 addresses again (`changeState`).
package final class EgressGuard: Sendable {
    struct State {
        var record: GuardRecord
        var evaluator: PolicyEvaluator
        var ruleset: SandboxRuleset
        var learned: LearnedAddresses
        /// Whether the next state is being prepared; learning addresses waits meanwhile.
        var isChanging = false
        /// When unused profiles may be removed again.
        var mayReinstallAt: UInt64 = 0
        /// Whether to do that now; names that need a profile wait for it.
        var mustReinstall = false
        /// When to look at the flows again.
        var mayRenewAt: UInt64 = 0
        /// When to look again at where they go.
        var mayObserveAt: UInt64 = 0
        var allowance = JudgementAllowance()
        /// Counts events that may have removed addresses from the kernel to make room.
        var displacements: UInt64 { learned.displacements &+ reinstallations }
        var reinstallations: UInt64 = 0
    }

    let id: String
    package let token: String
    let namespacePath: String
    let settings: GuardSettings
    let kernel: any KernelRules
    let audit: GuardAudit
    let watch: GuardWatch
    let state: Mutex<State>
    /// Nil if no budget is enforced in the kernel.
    let meter: TrafficMeter?
    /// Nil in tests without a kernel.
    let refusals: RefusalLog?
    let listsInForce: Mutex<ListsInForce>
    /// The sandbox's own addresses, as its guard found them.
    let ownAddresses: Set<IPAddress>
    /// Used on the DNS thread only.
    let budgets: Mutex<NameBudgets>
    /// The changes lock. Its value: whether flows may still be open that an earlier change should have ended.
    let changes = Mutex(false)
    /// The sandbox's checked flows; empty if flows are not checked.
    let flows = OpenFlows()
    /// `DNSPolicy.revision`.
    let revisions = Atomic<UInt64>(1)

    /// Installs the record's policy in the kernel, replacing whatever was there; it is in force when this returns.
    /// Learned addresses still in the kernel are judged again and kept if the policy allows them.
    /// - Parameters:
    ///   - operatorRules: for this sandbox, behind those of the settings.
    ///   - listsVersion: of the lists that these rules are from.
    init(
        record: GuardRecord, operatorRules: [Rule] = [], listsVersion: Int = 0, dnsPort: UInt16,
        flowCheck: FlowCheckPoint? = nil,
        surroundings: LinkSurroundings,
        kernel: any KernelRules, settings: GuardSettings, meter: TrafficMeter? = nil,
        refusals: RefusalLog? = nil, logger: Logger
    ) throws(EgressError) {
        self.meter = meter
        listsInForce = Mutex(ListsInForce(version: listsVersion))
        self.refusals = refusals
        ownAddresses = surroundings.local
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

        let evaluator = PolicyEvaluator(record.policy, operatorRules: settings.operatorRules + operatorRules)
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
    /// The number of rules in force, the operator's among them.
    package var ruleCount: Int { state.withLock { $0.record.policy.ruleCount + $0.evaluator.operatorRules.count } }
    package var events: EventLog { watch.log }
    package var record: GuardRecord { state.withLock { $0.record } }

    /// Changes the policy on disk, in the kernel and for open flows. Returns when the kernel has it and the record is
    /// published. On an error nothing has changed.
    package func change(store: some RecordStore, _ change: PolicyChange) throws(EgressError) -> PolicyStatus {
        try enforce(store: store, change) { $0.applying(change) }
    }

    /// Puts other rules of the operator, behind those of the settings, in front of the policy. Not stored: whoever keeps them
    /// gives them again.
    package func replaceOperatorRules(_ rules: [Rule]) throws(EgressError) {
        let all = settings.operatorRules + rules
        _ = try enforce(store: NoStore(), .merge([])) { $0.replacing(operatorRules: all) }
    }

    private func enforce(
        store: some RecordStore, _ change: PolicyChange, _ successor: (PolicyEvaluator) -> PolicyEvaluator.Successor
    ) throws(EgressError) -> PolicyStatus {
        try restore()
        return try changes.withLock { mustCut throws(EgressError) in
            let before = state.withLock { $0 }
            // Computed outside the lock that the DNS thread needs.
            let next = successor(before.evaluator), policy = next.evaluator.policy
            guard policy.ruleCount <= settings.maxRules else {
                throw .tooManyRules(count: policy.ruleCount, limit: settings.maxRules)
            }
            let status = status(of: policy, reason: Self.reason(change, removed: next.removed))
            guard
                mustCut || policy != before.record.policy
                    || next.evaluator.operatorRules != before.evaluator.operatorRules
            else { return status }
            var record = before.record
            record.policy = policy

            let staged = try store.stage(record, after: change)
            let undo = try adopt(record, next.evaluator, touched: next.touched)
            do throws(EgressError) {
                try staged.publish()
            } catch {
                rollBack(undo, store: store)
                // What the new policy let begin meanwhile.
                mustCut = true
                _ = endRevokedCheckedFlows()
                if (try? cutRevokedFlows()) != nil { mustCut = false }
                throw error
            }
            // Names may share an address, so a revoked name may leave its address open. Checked flows are ended by
            // their own name.
            var cut = endRevokedCheckedFlows()
            // More addresses may have been learned since the snapshot, under the old policy; these are included.
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

    /// Makes the kernel enforce a record.
    private func adopt(
        _ record: GuardRecord, _ evaluator: PolicyEvaluator, touched: TouchedTargets
    ) throws(EgressError) -> State.Undo {
        do throws(EgressError) {
            return try changeState { state throws(EgressError) in
                try state.adopt(record, evaluator: evaluator, touched: touched, kernel: kernel, settings: settings)
            }
        } catch {
            // The kernel may have made the change although its answer was lost; restore the old policy at once.
            do throws(EgressError) { try putBack() } catch { audit.notRestored(error) }
            throw error
        }
    }

    /// Computes the next state and swaps it in, without holding `state` in between: judging 65,000 addresses and
    /// updating the kernel can take a second, and one thread answers the queries of all sandboxes. That thread goes on
    /// with the old state meanwhile, and this sandbox learns no addresses until the swap. On an error nothing has
    /// changed.
    /// - Precondition: the changes lock is held.
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
        // Swap, so that the old state is deallocated outside the lock.
        state.withLock { state in
            revise()
            next.mayRenewAt = state.mayRenewAt
            swap(&state, &next)
        }
        return result
    }

    /// Invalidates the DNS filter's approved answers. Called with `state` locked, before the change itself, so that
    /// whoever asks afterwards sees the new state.
    func revise() { revisions.wrappingAdd(1, ordering: .releasing) }

    private static func reason(_ change: PolicyChange, removed: Int) -> String? {
        if case .remove = change, removed == 0 { PolicyStatus.nothingRemoved } else { nil }
    }

    private func status(of policy: Policy, reason: String? = nil) -> PolicyStatus {
        let mode = settings.flowCheck == nil ? PolicyStatus.enforcementMode : FlowCheckSettings.mode
        return PolicyStatus(policy: policy, reason: reason, enforcementMode: mode)
    }

    /// Undoes a change that the kernel accepted but the disk did not.
    private func rollBack(_ undo: State.Undo, store: some RecordStore) {
        do throws(EgressError) {
            _ = try changeState { state throws(EgressError) in
                try state.adopt(
                    undo.record, evaluator: undo.evaluator, restoring: undo.learned, kernel: kernel,
                    settings: settings)
            }
            // The file may be the new one already, if only syncing its folder failed.
            try store.stage(undo.record, after: .replace(undo.record.policy)).publish()
        } catch {
            audit.rollBackFailed(error)
        }
    }

    /// Ends unchecked flows that the policy in force would not allow to begin.
    @discardableResult
    private func cutRevokedFlows(forgettingNameQueries: Bool = false) throws(EgressError) -> Int {
        let state = state.withLock { $0 }
        return try kernel.cut(forgettingNameQueries: forgettingNameQueries) {
            !state.allowsFlow(to: $0, $1, settings: settings)
        }
    }

    /// Ends checked flows that the policy in force would not allow to begin, judged by the name that each stated.
    private func endRevokedCheckedFlows() -> Int {
        let state = state.withLock { $0 }
        return flows.end { !state.allowsCheckedFlow($0, $1, settings: settings) }
    }
}
