import Logging
import Synchronization

/// Periodic work of a node.
final class NodeUpkeep: Sendable {
    /// Seconds between two reads of the kernel's budget counters.
    private static let meterInterval = 2.0
    /// Seconds between two looks at the operator's lists.
    private static let listsInterval = 0.5

    private let sandboxes: GuardedSandboxes
    private let logger: Logger
    private let tasks = Mutex<[Task<Void, Never>]>([])

    init(_ sandboxes: GuardedSandboxes, logger: Logger) {
        self.sandboxes = sandboxes
        self.logger = logger
    }

    deinit { stop() }

    func start() {
        repeatedly(every: Double(EgressGuard.renewalInterval)) { await $0.renewLearned() }
        repeatedly(every: Double(EgressGuard.restorationInterval)) { await $0.restoreRules() }
        repeatedly(every: EgressGuard.refusalInterval) { await $0.readRefusals() }
        if sandboxes.lists != nil { repeatedly(every: Self.listsInterval) { await $0.followLists() } }
        repeatedly(every: Double(EgressGuard.observationInterval)) { await $0.observeFlows() }
        if sandboxes.settings.budgets.limitsTraffic {
            repeatedly(every: Self.meterInterval) { await $0.readMeters() }
        }
    }

    func stop() {
        tasks.withLock { tasks in
            for task in tasks { task.cancel() }
            tasks = []
        }
    }

    /// Repeats until `stop`, or until this object is released.
    private func repeatedly(every seconds: Double, _ act: @escaping @Sendable (NodeUpkeep) async -> Void) {
        let task = Task { [weak self] in
            while (try? await Task.sleep(for: .seconds(seconds))) != nil {
                guard let self else { return }
                await act(self)
            }
        }
        tasks.withLock { $0.append(task) }
    }

    /// Extends learned addresses that flows use, in all sandboxes.
    func renewLearned() async {
        for guardian in sandboxes.guardians {
            try? await Blocking.run { () throws(EgressError) in guardian.renewOrReport() }
        }
    }

    /// Restores the rules of any sandbox that another program has changed.
    func restoreRules() async {
        await forEach { $0.restoreOrReport() }
    }

    /// Reads the operator's lists where they have changed, and puts them in force in every sandbox.
    func followLists() async {
        guard let lists = sandboxes.lists else { return }
        let (guardians, logger) = (sandboxes.guardians, logger)
        try? await Blocking.run { () throws(EgressError) in
            lists.refresh(logger)
            for guardian in guardians { guardian.follow(lists) }
        }
    }

    private func observeFlows() async { await forEach { $0.observeFlows() } }
    private func readRefusals() async { await forEach { $0.readRefusals() } }
    private func readMeters() async { await forEach { $0.readMeter() } }

    private func forEach(_ act: @escaping @Sendable (EgressGuard) -> Void) async {
        let guardians = sandboxes.guardians
        // This only fails when the program is ending; the rules stay as they are.
        try? await Blocking.run { () throws(EgressError) in for guardian in guardians { act(guardian) } }
    }
}
