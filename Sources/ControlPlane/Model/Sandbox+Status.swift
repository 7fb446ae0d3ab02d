import Runtimes
import SafeText

extension Sandbox {
    /// How many past states are kept.
    private static let maxHistory = 50

    /// The sandbox in another state, with the previous one added to its history.
    func moved(to state: SandboxState, reason: String, message: String = "") -> Sandbox {
        moved(to: SandboxStatus(state, reason: reason, message: message))
    }

    func moved(to status: SandboxStatus) -> Sandbox {
        var sandbox = self
        sandbox.status = status
        sandbox.history.append(sandbox.status)
        sandbox.history.removeFirst(max(0, sandbox.history.count - Self.maxHistory))
        return sandbox
    }
}

/// Stable words for why a sandbox is in its state.
enum StatusReason {
    static let creating = "CREATING"
    /// The image takes so long that the client has been answered already.
    static let pullingImage = "PULLING_IMAGE"
    /// The image is ready, but execd does not listen yet.
    static let starting = "STARTING"
    static let running = "CONTAINER_RUNNING"
    static let pauseRequested = "PAUSE_REQUESTED"
    static let paused = "CONTAINER_PAUSED"
    static let resumeRequested = "RESUME_REQUESTED"
    static let deleteRequested = "DELETE_REQUESTED"
    static let exited = "ENTRYPOINT_EXITED"
    static let killed = "ENTRYPOINT_KILLED"
    static let outOfMemory = "OUT_OF_MEMORY"
    static let lost = "SANDBOX_LOST"
    static let createFailed = "CREATE_FAILED"
}

extension SandboxStatus {
    /// The status of a sandbox that has ended by itself.
    init(_ end: SandboxEnd) {
        let reason =
            switch end.entrypoint {
            case _ where end.isOutOfMemory: StatusReason.outOfMemory
            case .signalled: StatusReason.killed
            case .exited, .notStarted, nil: StatusReason.exited
            }
        self.init(.terminated, reason: reason, message: ForeignText.escaped("\(end)"))
    }
}
