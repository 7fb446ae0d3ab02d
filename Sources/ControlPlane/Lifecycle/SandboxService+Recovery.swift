import Logging
import NIOHTTP1
import Runtimes
import System

extension SandboxService {
    /// Recovers the sandboxes of an earlier server. Acknowledged ones are kept as they were; incomplete creates and
    /// deletions are removed. The guard has taken over its sandboxes before this, so enforcement was never lifted.
    ///
    /// Sandboxes without a record are removed only if the runtime says that this server created them; where that fails, it is tried
    /// again with growing pauses, as deletions are of those that have one.
    ///
    /// - Parameter patience: how long a start waits for deletions that an earlier server has not finished.
    func recover(within patience: Duration = .seconds(5)) async throws(StoreError) {
        let unreadable = try await catalog.load()
        // Unreadable records are kept. Their sandboxes stay guarded, and a server that can read them finds them.
        for id in unreadable {
            logger.error(
                "the stored record of a sandbox cannot be read; the sandbox is left as it is, and cannot be used or deleted",
                metadata: ["sandbox": "\(id)"])
        }
        // All at once, since each may wait for storage that does not answer, and the start for all of them together.
        await withDiscardingTaskGroup { group in
            for sandbox in catalog.all where sandbox.isUnfinished {
                group.addTask { [self] in
                    await attempt("finishing the deletion of", sandbox.id) { () async throws(APIError) in
                        try await delete(sandbox.id, within: patience)
                    }
                }
            }
        }
        for sandbox in catalog.all { await recover(sandbox) }
        try await recoverSnapshots()
        let known = Set(catalog.all.map(\.id)).union(unreadable)
        do throws(RuntimeError) {
            let unknown = try await runtime.owned().filter { !known.contains($0) }
            // There may be many, of pools: all at once, since each waits for the kernel.
            await withDiscardingTaskGroup { group in
                for id in unknown {
                    group.addTask { [self] in
                        logger.warning("removing a sandbox that is not in the store", metadata: ["sandbox": "\(id)"])
                        guard await !isRemoved(id, within: patience) else { return }
                        keepRemoving(id)
                    }
                }
            }
        } catch {
            logger.error("the runtime could not list its sandboxes", metadata: ["error": "\(error)"])
        }
        logger.info("sandboxes found", metadata: ["count": "\(known.count)"])
    }

    private func isRemoved(_ id: String, within patience: Duration = deletePatience) async -> Bool {
        await attempt("removing", id) { () async throws(APIError) in try await destroy(id, within: patience) }
    }

    /// In a task of its own, since there is no record by which the timer would know of it.
    private func keepRemoving(_ id: String) {
        Task { [weak self] in
            var backOff = BackOff.removals
            repeat {
                try? await Task.sleep(for: .milliseconds(Int64(backOff.next())))
                guard let self, await !self.isRemoved(id) else { return }
            } while true
        }
    }

    private func recover(_ sandbox: Sandbox) async {
        let id = sandbox.id
        switch sandbox.status.state {
        case .failed, .terminated, .stopping: break
        case .pending, .running, .paused, .pausing, .resuming: await observe(id)
        }
    }

    /// Updates a sandbox's record to its observed state, after a restart or missed events. If the runtime does not
    /// answer, nothing changes.
    func observe(_ id: String) async {
        guard !creations.isAtWork(id) else { return }
        let seen: SandboxObservation
        do throws(RuntimeError) { seen = try await runtime.observe(id) } catch {
            return logger.error(
                "the runtime did not say what has become of a sandbox",
                metadata: ["sandbox": "\(id)", "error": "\(error)"])
        }
        await attempt("storing the state of", id) { () async throws(APIError) in
            try await locks.withLock(id) { () async throws(APIError) in
                guard let sandbox = catalog[id], !creations.isAtWork(id) else { return }
                // If the runtime's record cannot be read, ours at least says where this machine's guard is.
                if let attachment = seen.placement?.attachment
                    ?? sandbox.network?.namespacePath.map({ .namespace(path: $0) })
                {
                    egress.attach(id, attachment)
                }
                try await take(seen, of: sandbox)
            }
        }
    }

    /// The caller must hold the sandbox's lock.
    private func take(_ seen: SandboxObservation, of sandbox: Sandbox) async throws(APIError) {
        guard sandbox.status.state == .pending else {
            guard let moved = sandbox.found(seen) else { return }
            logger.info(
                "sandbox changed", metadata: ["sandbox": "\(sandbox.id)", "state": "\(moved.status.state.rawValue)"])
            return try await save(moved)
        }
        switch (seen.state, seen.placement) {
        case (.running, let placement?): _ = try await run(sandbox.id, placement)
        case (.starting, _): break
        default:
            try await destroy(sandbox.id)
            let why =
                seen.end.map { "\($0)" } ?? "the server restarted while the sandbox was being created"
            try await save(sandbox.moved(to: .failed, reason: StatusReason.createFailed, message: why))
        }
    }

    /// - Returns: whether it has succeeded.
    @discardableResult
    private func attempt(_ action: String, _ id: String, _ body: () async throws(APIError) -> Void) async -> Bool {
        do throws(APIError) {
            try await body()
            return true
        } catch {
            logger.error("\(action) a sandbox failed", metadata: ["sandbox": "\(id)", "error": "\(error.message)"])
            return false
        }
    }
}

extension Sandbox {
    /// Whether it is to be deleted when a server starts: either no client was told about it, or the client was told that it is gone.
    fileprivate var isUnfinished: Bool {
        status.state == .stopping || status.state == .pending && status.reason == StatusReason.creating
    }

    /// The sandbox with its observed state; nil if that is what was stored, or a state that never changes by itself.
    fileprivate func found(_ seen: SandboxObservation) -> Sandbox? {
        guard ![.stopping, .failed, .terminated].contains(status.state) else { return nil }
        switch seen.state {
        case .running where status.state == .running, .paused where status.state == .paused: return nil
        case .running: return moved(to: .running, reason: StatusReason.running)
        case .paused: return moved(to: .paused, reason: StatusReason.paused)
        case .starting: return nil
        case .exited:
            return moved(
                to: seen.end.map(SandboxStatus.init)
                    ?? SandboxStatus(
                        .terminated, reason: StatusReason.exited,
                        message: "the entrypoint has ended while no server was running"))
        case .abandoned, .missing:
            return moved(
                to: .failed, reason: StatusReason.lost,
                message:
                    "nothing of it is there any more: its machine may have been restarted, or somebody removed it")
        }
    }
}
