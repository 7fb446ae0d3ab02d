import Logging
import Spelling
import Synchronization
import System

/// Guards beside sandboxes that do not run. The engine starts those again that end by themselves; others were stopped, paused
/// or removed by somebody, perhaps while there was no server. Their rules are in force, but nothing can be asked for and no
/// name resolves until they serve again, with the policy that they had.
extension DockerRuntime {
    /// How many guards are started at a time.
    private static let workers = 8
    /// How often in a row one is tried to be started. Each sweep tries again.
    private static let tries = 3

    /// Has every guard serve of a sandbox that runs.
    func restoreGuards() async {
        guard case .engine = network else { return }
        do throws(EngineFailure) {
            let sandboxes = try await running(.workload, or: ["paused"])
            let guarded = try await running(.sidecar)
            for id in sandboxes.subtracting(guarded) where LocalEngine.isIdentifier(id) { restoreGuard(of: id) }
        } catch {
            // The next sweep asks again.
        }
    }

    /// The sandboxes with such a container that runs, or is in one of these states.
    private func running(
        _ part: DockerNames.Part, or states: [String] = []
    ) async throws(EngineFailure) -> Set<String> {
        let filters = EngineCall.filters([
            "label": [
                DockerNames.filter(SandboxLabels.ownerKey, owner),
                DockerNames.filter(DockerNames.partKey, part.rawValue),
            ],
            "status": ["running"] + states,
        ])
        let listed: [ListedContainer] = try await engine.get(
            EngineCall("GET", "containers", "json", query: [filters]))
        return Set(listed.compactMap { $0.labels?[ExactName(SandboxLabels.idKey)] })
    }

    /// Looks, soon, whether the guard of a sandbox serves, and has it serve again.
    func restoreGuard(of id: String) {
        guard configuration.keepsRules else { return }
        let isNeeded = memory.withLock { memory in
            memory.doubted.insert(id)
            guard memory.workers < Self.workers else { return false }
            memory.workers += 1
            return true
        }
        guard isNeeded else { return }
        Task { [weak self] in
            while let self, let id = self.nextDoubted() {
                await self.restore(id)
                self.memory.withLock { _ = $0.restoring.remove(id) }
            }
        }
    }

    /// One that nobody is at; nil ends a worker. What is doubted again meanwhile is left to who is at it.
    private func nextDoubted() -> String? {
        memory.withLock { memory in
            guard let id = memory.doubted.first(where: { !memory.restoring.contains($0) }) else {
                memory.workers -= 1
                return nil
            }
            memory.doubted.remove(id)
            memory.restoring.insert(id)
            return id
        }
    }

    private func restore(_ id: String) async {
        guard case .engine(let sidecars) = network else { return }
        var pause = BackOff(first: 500, longest: 5000)
        for attempt in 1...Self.tries {
            do throws(RuntimeError) {
                guard hasBegun(id), let found = try await container(id),
                    [.running, .paused].contains(found.state.phase)
                else { return }
                let beside = try await sidecars.find(id), phase = beside?.state.phase
                // One that is being removed cannot be started; an event tells when it is gone.
                guard phase != .running, phase != .removing else { return }
                logger.error(
                    "another program stopped or removed the guard of a sandbox: it is started again",
                    metadata: ["sandbox": "\(id)", "state": "\(beside?.state.status ?? "removed")"])
                return try await sidecars.restore(id, found, beside)
            } catch {
                // Each time: a guard that runs at the next look may be one that does not answer, which nobody would hear of.
                logger.error(
                    "a sandbox has no guard that answers; what its rules refuse stays refused",
                    metadata: ["sandbox": "\(id)", "error": "\(error)"])
                if attempt < Self.tries { try? await Task.sleep(for: pause.spread()) }
            }
        }
    }
}
