import Egress
import Logging
import NIOHTTP1
import Runtimes

extension SandboxService {
    /// Finds the sandboxes of an earlier server again. What was acknowledged is there as it was; what was half made or
    /// half deleted is taken away. The guard has taken its sandboxes over before: enforcement was never lifted.
    func recover() async throws(StoreError) {
        let unreadable = try await catalog.load()
        // What they say is not lost: a server that can read them finds their sandboxes as they are, guarded.
        for id in unreadable {
            logger.error(
                "the stored record of a sandbox cannot be read; the sandbox is left as it is, and cannot be used or deleted",
                metadata: ["sandbox": "\(id)"])
        }
        for sandbox in catalog.all { await recover(sandbox) }
        let known = Set(catalog.all.map(\.id)).union(unreadable)
        for id in await runtime.list() where !known.contains(id) {
            logger.warning("removing a sandbox that is not in the store", metadata: ["sandbox": "\(id)"])
            await attempt("removing", id) { () async throws(APIError) in try await destroy(id) }
        }
        for id in await egress.guarded where !known.contains(id) { await egress.release(id) }
        logger.info("sandboxes found", metadata: ["count": "\(known.count)"])
    }

    private func recover(_ sandbox: Sandbox) async {
        let id = sandbox.id
        switch (sandbox.status.state, sandbox.status.reason) {
        case (.pending, StatusReason.creating), (.stopping, _):
            await attempt("finishing the deletion of", id) { () async throws(APIError) in try await delete(id) }
        case (.pending, _):
            await attempt("giving up", id) { () async throws(APIError) in
                try await destroy(id)
                try await save(
                    sandbox.moved(
                        to: .failed, reason: StatusReason.createFailed,
                        message: "the server restarted while the sandbox was being created"))
            }
        case (.failed, _), (.terminated, _):
            break
        case (.running, _), (.paused, _), (.pausing, _), (.resuming, _):
            let state = await runtime.state(of: id)
            guard let moved = sandbox.found(state) else { return }
            logger.info("sandbox changed", metadata: ["sandbox": "\(id)", "state": "\(moved.status.state.rawValue)"])
            await attempt("storing the state of", id) { () async throws(APIError) in try await save(moved) }
        }
    }

    private func attempt(_ action: String, _ id: String, _ body: () async throws(APIError) -> Void) async {
        do throws(APIError) {
            try await body()
        } catch {
            logger.error("\(action) a sandbox failed", metadata: ["sandbox": "\(id)", "error": "\(error.message)"])
        }
    }
}

extension Sandbox {
    /// The sandbox as the kernel has it; nil when that is what was stored.
    fileprivate func found(_ kernel: RuntimeState) -> Sandbox? {
        switch kernel {
        case .running where status.state == .running, .paused where status.state == .paused: nil
        case .running: moved(to: .running, reason: StatusReason.running)
        case .paused: moved(to: .paused, reason: StatusReason.paused)
        case .exited:
            moved(
                to: .terminated, reason: StatusReason.exited,
                message: "the entrypoint has ended while no server was running")
        case .prepared, .missing:
            moved(
                to: .failed, reason: StatusReason.lost,
                message: "nothing of it was found when the server started; the machine may have been restarted")
        }
    }
}
