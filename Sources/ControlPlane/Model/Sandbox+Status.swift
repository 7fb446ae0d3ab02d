import Runtimes
import SafeText

extension Sandbox {
    /// How many past states are kept.
    private static let maxHistory = 50

    /// The sandbox in another state, with the previous one added to its history.
    func moved(to state: SandboxState, reason: String, message: String? = nil) -> Sandbox {
        moved(to: SandboxStatus(state, reason: reason, message: message))
    }

    func moved(to status: SandboxStatus) -> Sandbox {
        var sandbox = self
        sandbox.status = status
        sandbox.history.append(sandbox.status)
        sandbox.history.removeFirst(max(0, sandbox.history.count - Self.maxHistory))
        return sandbox
    }

    /// When the server deletes it by itself, if nobody asks for it before; nil for never. One that is being deleted has no
    /// end: where that fails, the time of the next attempt is set elsewhere.
    /// - Parameter failuresKept: seconds that a sandbox which could not be made stays.
    func removal(failuresKept: Int) -> Timestamp? {
        guard status.state != .stopping else { return nil }
        guard status.state == .failed, StatusReason.provisioning.contains(status.reason) else { return expiresAt }
        let end = status.since.adding(seconds: failuresKept)
        return expiresAt.map { min($0, end) } ?? end
    }
}

/// Stable words for why a sandbox is in its state.
enum StatusReason {
    static let creating = "CREATING"
    /// As many creates as may run at once do.
    static let queued = "QUEUED"
    /// The image takes so long that the client has been answered already.
    static let pullingImage = "PULLING_IMAGE"
    /// The image is ready, but execd does not listen yet.
    static let starting = "STARTING"
    static let running = "CONTAINER_RUNNING"
    static let pauseRequested = "PAUSE_REQUESTED"
    static let paused = "CONTAINER_PAUSED"
    static let pauseFailed = "PAUSE_FAILED"
    static let resumeRequested = "RESUME_REQUESTED"
    static let resumeFailed = "RESUME_FAILED"
    static let deleteRequested = "DELETE_REQUESTED"
    static let exited = "ENTRYPOINT_EXITED"
    static let killed = "ENTRYPOINT_KILLED"
    static let outOfMemory = "OUT_OF_MEMORY"
    static let lost = "SANDBOX_LOST"
    /// It could not be made (the contract's word).
    static let createFailed = "PROVISIONING_ERROR"

    /// Of a sandbox that could not be made; the second is what servers of earlier releases wrote.
    static let provisioning: Set = [createFailed, "CREATE_FAILED"]

    /// What people are told where there is nothing more to say.
    private static let sentences = [
        creating: "The sandbox is being created.",
        queued: "The sandbox waits for creates before it.",
        pullingImage: "The image is being fetched.",
        starting: "The sandbox is being started.",
        running: "The sandbox runs.",
        pauseRequested: "The sandbox is being paused.",
        paused: "The sandbox is paused.",
        resumeRequested: "The sandbox is being resumed.",
        deleteRequested: "The sandbox is being deleted.",
    ]

    static func sentence(_ reason: String) -> String { sentences[reason] ?? "" }
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
        // The contract's states tell success from failure.
        let isSuccess = !end.isOutOfMemory && [.exited(0), nil].contains(end.entrypoint)
        self.init(isSuccess ? .terminated : .failed, reason: reason, message: ForeignText.escaped("\(end)"))
        exitCode = end.entrypoint?.exitCode
    }
}

extension EntrypointEnd {
    /// As a shell tells it: 128 and the signal, or 127 for what could not be started.
    fileprivate var exitCode: Int32 {
        switch self {
        case .exited(let code): code
        case .signalled(let number): 128 + number
        case .notStarted: 127
        }
    }
}
