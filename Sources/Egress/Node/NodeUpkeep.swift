import Logging
import Synchronization

/// What a node does for its sandboxes from time to time, unasked.
final class NodeUpkeep: Sendable {
    /// Seconds between two looks at what the kernel's budgets have refused.
    private static let meterInterval = 2.0

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

    /// Until `stop`, or until nobody has this any more.
    private func repeatedly(every seconds: Double, _ act: @escaping @Sendable (NodeUpkeep) async -> Void) {
        let task = Task { [weak self] in
            while (try? await Task.sleep(for: .seconds(seconds))) != nil {
                guard let self else { return }
                await act(self)
            }
        }
        tasks.withLock { $0.append(task) }
    }

    /// Keeps open what flows: one look at all sandboxes.
    func renewLearned() async {
        for guardian in sandboxes.guardians {
            do {
                try await Blocking.run { () throws(EgressError) in _ = try guardian.renewLearned() }
            } catch {
                logger.warning(
                    "open addresses were not prolonged", metadata: ["sandbox": "\(guardian.id)", "error": "\(error)"])
            }
        }
    }

    /// Looks at all sandboxes' rules, of which others with power over a namespace may have taken some away.
    func restoreRules() async {
        await forEach { guardian in
            do throws(EgressError) {
                try guardian.restore()
            } catch {
                guardian.audit.notRestored(error)
            }
        }
    }

    private func readMeters() async { await forEach { $0.readMeter() } }

    private func forEach(_ act: @escaping @Sendable (EgressGuard) -> Void) async {
        let guardians = sandboxes.guardians
        // The program ends when this throws: the rules stay as they are.
        try? await Blocking.run { () throws(EgressError) in for guardian in guardians { act(guardian) } }
    }
}
