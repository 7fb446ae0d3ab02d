/// What a runtime can do. Requests for anything else are refused before anything is made, with a code that clients
/// know.
public struct RuntimeCapabilities: Hashable, Sendable {
    /// Pause and resume with memory and connections kept.
    public var pause: Bool
    public var snapshots: Bool
    public var volumes: Bool
    /// Endpoints that require a credential.
    public var secureAccess: Bool
    /// Sandboxes from a pool that was made in advance.
    public var pools: Bool
    public var gpu: Bool

    public init(
        pause: Bool = false, snapshots: Bool = false, volumes: Bool = false, secureAccess: Bool = false,
        pools: Bool = false, gpu: Bool = false
    ) {
        self.pause = pause
        self.snapshots = snapshots
        self.volumes = volumes
        self.secureAccess = secureAccess
        self.pools = pools
        self.gpu = gpu
    }
}

/// Error codes of a runtime's failures in answers (`DOCKER::SANDBOX_NOT_FOUND`). Clients branch on them, and the
/// contract has its own set for each kind of runtime.
public struct RuntimeCodes: Hashable, Sendable {
    public var sandboxNotFound: String
    public var imagePullFailed: String
    public var startFailed: String
    public var deleteFailed: String
    public var pauseFailed: String
    public var resumeFailed: String
    public var notRunning: String
    public var notPaused: String
    public var invalidExpiration: String
    public var invalidPort: String

    public init(
        sandboxNotFound: String, imagePullFailed: String, startFailed: String, deleteFailed: String,
        pauseFailed: String, resumeFailed: String, notRunning: String, notPaused: String, invalidExpiration: String,
        invalidPort: String
    ) {
        self.sandboxNotFound = sandboxNotFound
        self.imagePullFailed = imagePullFailed
        self.startFailed = startFailed
        self.deleteFailed = deleteFailed
        self.pauseFailed = pauseFailed
        self.resumeFailed = resumeFailed
        self.notRunning = notRunning
        self.notPaused = notPaused
        self.invalidExpiration = invalidExpiration
        self.invalidPort = invalidPort
    }

    /// For runtimes that make containers on one machine.
    public static let docker = RuntimeCodes(
        sandboxNotFound: "DOCKER::SANDBOX_NOT_FOUND", imagePullFailed: "DOCKER::SANDBOX_IMAGE_PULL_FAILED",
        startFailed: "DOCKER::SANDBOX_START_FAILED", deleteFailed: "DOCKER::SANDBOX_DELETE_FAILED",
        pauseFailed: "DOCKER::SANDBOX_PAUSE_FAILED", resumeFailed: "DOCKER::SANDBOX_RESUME_FAILED",
        notRunning: "DOCKER::SANDBOX_NOT_RUNNING", notPaused: "DOCKER::SANDBOX_NOT_PAUSED",
        invalidExpiration: "DOCKER::INVALID_EXPIRATION", invalidPort: "DOCKER::INVALID_PORT")
}
