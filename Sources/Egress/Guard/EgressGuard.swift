import DNSFilter
import Logging
import NetworkPolicy
import Synchronization

/// Guards one sandbox: the one place where its policy, the kernel's rules and what names have taught are changed,
/// so that they cannot disagree.
///
/// Two locks. `changes` puts policy changes in a row, over disk and kernel. `state` is held for the moments in which
/// the kernel and its mirror change together; the DNS thread takes only that one, so it never waits for a disk.
final class EgressGuard: Sendable {
    struct State {
        var record: GuardRecord
        var evaluator: PolicyEvaluator
        var ruleset: SandboxRuleset
        var learned: LearnedAddresses
        /// When profiles that nothing uses any more may be cleared away again.
        var mayReinstallAt: UInt64 = 0
        /// When flows are looked at again.
        var mayRenewAt: UInt64 = 0
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
    let changes = Mutex<Void>(())
    /// `DNSPolicy.revision`.
    let revisions = Atomic<UInt64>(1)

    /// Puts the record's policy into the kernel, whatever was there before: rules are in force when this returns.
    /// Learned addresses that the kernel still holds are judged anew and kept where the policy still allows them.
    init(
        record: GuardRecord, dnsPort: UInt16, surroundings: LinkSurroundings, kernel: any KernelRules,
        settings: GuardSettings, logger: Logger
    ) throws(EgressError) {
        id = record.id
        token = record.token
        namespacePath = record.namespacePath
        self.settings = settings
        self.kernel = kernel
        audit = GuardAudit(id: record.id, logger: logger, now: settings.now)
        watch = GuardWatch(
            log: EventLog(sandbox: record.id, capacity: settings.eventsKept, time: settings.time), now: settings.now)

        let evaluator = PolicyEvaluator(record.policy)
        let isObserving = record.policy.mode == .observe
        let ruleset = try SandboxRuleset(
            dnsPort: dnsPort, plan: isObserving ? .open : evaluator.addressPlan, alwaysDeny: settings.alwaysDeny,
            neighbours: surroundings.neighbours)
        var fresh = State(
            record: record, evaluator: evaluator, ruleset: ruleset,
            learned: LearnedAddresses(capacity: settings.maxLearnedAddresses))
        fresh.recover(try kernel.learned(), settings: settings)
        try kernel.install(fresh.ruleset, learned: fresh.elements(now: settings.now()))
        state = Mutex(fresh)
        try kernel.forgetNameQueries()
        try cutRevokedFlows()
    }

    var status: PolicyStatus { PolicyStatus(policy: state.withLock { $0.record.policy }) }
    var record: GuardRecord { state.withLock { $0.record } }

    /// Changes the policy: on disk, in the kernel, and for open flows, in that order of commitment. Returns when the
    /// kernel has it and the file is durable. On an error nothing has changed.
    func change(
        store: some RecordStore, _ transform: (Policy) throws(EgressError) -> (policy: Policy, reason: String?)
    ) throws(EgressError) -> PolicyStatus {
        try changes.withLock { _ throws(EgressError) in
            let old = record
            let (policy, reason) = try transform(old.policy)
            guard policy.rules.count <= settings.maxRules else {
                throw .tooManyRules(count: policy.rules.count, limit: settings.maxRules)
            }
            guard policy != old.policy else { return PolicyStatus(policy: policy, reason: reason) }
            var record = old
            record.policy = policy

            let file = try store.stage(record)
            let undo = try state.withLock { state throws(EgressError) in
                revise()
                return try state.adopt(record, kernel: kernel, settings: settings)
            }
            do throws(EgressError) {
                try file.publish()
            } catch {
                rollBack(undo, store: store)
                throw error
            }
            let cut = try cutRevokedFlows()
            audit.policyChanged(policy, flowsCut: cut)
            watch.policyChanged(policy, flowsCut: cut)
            return PolicyStatus(policy: policy, reason: reason)
        }
    }

    /// Ends what the DNS filter was cleared to repeat. Called with the state's lock held, before the change: who asks the
    /// policy after it has to wait for the change.
    func revise() { revisions.wrappingAdd(1, ordering: .releasing) }

    /// The kernel took the new rules but the disk did not take the record.
    private func rollBack(_ undo: State.Undo, store: some RecordStore) {
        do throws(EgressError) {
            try state.withLock { state throws(EgressError) in
                revise()
                _ = try state.adopt(undo.record, restoring: undo.learned, kernel: kernel, settings: settings)
            }
            // The file may be the new one already, when only its folder could not be synchronised.
            try store.stage(undo.record).publish()
        } catch {
            audit.rollBackFailed(error)
        }
    }

    /// Ends flows that the policy in force would not let begin.
    @discardableResult
    private func cutRevokedFlows() throws(EgressError) -> Int {
        let state = state.withLock { $0 }
        return try kernel.cut { !state.allowsFlow(to: $0, $1, settings: settings) }
    }
}
