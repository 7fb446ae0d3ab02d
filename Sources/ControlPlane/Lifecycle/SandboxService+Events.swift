import Logging
import NIOHTTP1
import Runtimes
import SafeText

extension SandboxService {
    /// Deletes expired sandboxes and handles events, until the task is cancelled.
    func follow() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in await hear() }
            group.addTask { [self] in
                await expiry.run { [self] id in await expired(id) }
            }
        }
    }

    private func hear() async {
        await withDiscardingTaskGroup { group in
            for await event in runtime.events {
                // Concurrently, since one may have to wait for another change of its sandbox.
                group.addTask { [self] in await heard(event) }
            }
        }
    }

    /// Handles one event, depending on the sandbox's present state. Repeated and outdated events change nothing.
    func heard(_ event: RuntimeEvent) async {
        switch event {
        case .started(let id, let placement):
            // A create in progress stores that itself.
            guard !creations.isAtWork(id) else { return }
            await change(id) { [self] sandbox in
                guard sandbox.status.state == .pending else { return }
                _ = try? await run(id, placement)
            }
        case .exited(let end):
            await pools?.ended(end.id)
            await ended(end.id, SandboxStatus(end))
        case .lost(let id, let reason):
            await ended(
                id, SandboxStatus(.failed, reason: StatusReason.lost, message: ForeignText.escaped(reason)))
        case .missed:
            for sandbox in catalog.all { await observe(sandbox.id) }
        }
    }

    private func ended(_ id: String, _ status: SandboxStatus) async {
        // It may end before its create has stored that it runs.
        await creations.end(of: id)
        await change(id) { [self] sandbox in
            guard [.pending, .running, .paused].contains(sandbox.status.state) else { return }
            logger.info("sandbox ended", metadata: ["sandbox": "\(id)", "reason": "\(status.message)"])
            do throws(APIError) { try await save(sandbox.moved(to: status)) } catch { return }
        }
    }

    private func change(_ id: String, _ body: (Sandbox) async -> Void) async {
        await locks.withLock(id) { if let sandbox = catalog[id] { await body(sandbox) } }
    }

    private func expired(_ id: String) async {
        // It may have been renewed since the timer fired, or be due for another attempt to delete it.
        guard let sandbox = catalog[id] else { return }
        let isDue = sandbox.removal(failuresKept: failuresKept).map { $0 <= .now() } ?? false
        guard sandbox.status.state == .stopping || isDue else { return }
        logger.info("sandbox expired", metadata: ["sandbox": "\(id)"])
        do throws(APIError) {
            try await delete(id)
        } catch {
            guard error.status != .notFound else { return }
            logger.error(
                "deleting an expired sandbox failed", metadata: ["sandbox": "\(id)", "error": "\(error.message)"])
        }
    }
}
