import NIOHTTP1
import Runtimes

/// Pausing and resuming: each takes a sandbox by a state between, which clients see.
extension SandboxService {
    func pause(_ id: String) async throws(APIError) {
        let change = PhaseChange(
            action: "pausing", wrongState: codes.notRunning, failure: codes.pauseFailed,
            failureReason: StatusReason.pauseFailed)
        try await take(
            id, from: .running, by: (.pausing, StatusReason.pauseRequested), to: (.paused, StatusReason.paused), change
        ) { (runtime) throws(RuntimeError) in try await runtime.pause(id) }
    }

    func resume(_ id: String) async throws(APIError) {
        let change = PhaseChange(
            action: "resuming", wrongState: codes.notPaused, failure: codes.resumeFailed,
            failureReason: StatusReason.resumeFailed)
        try await take(
            id, from: .paused, by: (.resuming, StatusReason.resumeRequested), to: (.running, StatusReason.running),
            change
        ) { (runtime) throws(RuntimeError) in try await runtime.resume(id) }
    }

    /// How a change of what a sandbox does is called; codes and reasons.
    private struct PhaseChange {
        let action, wrongState, failure, failureReason: String
    }

    /// Takes a sandbox from one state by another to a third; back where the runtime fails.
    private func take(
        _ id: String, from state: SandboxState, by passing: (state: SandboxState, reason: String),
        to end: (state: SandboxState, reason: String), _ change: PhaseChange,
        act: (any SandboxRuntime) async throws(RuntimeError) -> Void
    ) async throws(APIError) {
        _ = try sandbox(id)
        try needs(runtime.capabilities.pause, change.action)
        // Without the lock: a copy may take long, and a deletion must be able to call it off.
        await captures.end(of: id)
        try await locks.withLock(id) { () async throws(APIError) in
            let sandbox = try sandbox(id)
            guard !captures.isAtWork(id) else {
                throw APIError(
                    .conflict, "SNAPSHOT::RUNTIME_CREATE_CONFLICT", "another snapshot of sandbox \(id) is being taken")
            }
            guard sandbox.status.state == state else {
                throw APIError(
                    .conflict, change.wrongState, "Sandbox \(id) is not \(state.rawValue.lowercased())")
            }
            let changing = sandbox.moved(to: passing.state, reason: passing.reason)
            try await save(changing)
            do throws(RuntimeError) {
                try await act(runtime)
            } catch {
                let failure = failed(change.failure, change.action, id, error)
                try await save(changing.moved(to: state, reason: change.failureReason, message: failure.message))
                throw failure
            }
            try await save(changing.moved(to: end.state, reason: end.reason))
        }
    }

    /// Refuses what the runtime cannot do, before checking the sandbox's state.
    private func needs(_ capability: Bool, _ what: String) throws(APIError) {
        guard capability else { throw .notSupported("\(what) is not supported by this runtime") }
    }
}
