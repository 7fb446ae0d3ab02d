/// What a runtime can do. Requests for anything else are refused before anything is made, with a code that clients
/// know.
package struct RuntimeCapabilities: Hashable, Sendable {
    /// Pause and resume with memory and connections kept.
    package var pause: Bool
    package var snapshots: Bool
    package var volumes: Bool
    /// Endpoints that require a credential.
    package var secureAccess: Bool
    /// Sandboxes from a pool that was made in advance.
    package var pools: Bool
    package var gpu: Bool
    /// Ports of the machine that forward to ports of a sandbox, for whom the request names.
    package var publishedPorts: Bool
    /// Whether requests may have a policy, which is then enforced.
    package var networkPolicy: Bool
    /// Whether it keeps images of its own, which can be listed and removed.
    package var images: Bool

    package init(
        pause: Bool = false, snapshots: Bool = false, volumes: Bool = false, secureAccess: Bool = false,
        pools: Bool = false, gpu: Bool = false, publishedPorts: Bool = false, networkPolicy: Bool = true,
        images: Bool = false
    ) {
        self.pause = pause
        self.snapshots = snapshots
        self.volumes = volumes
        self.secureAccess = secureAccess
        self.pools = pools
        self.gpu = gpu
        self.publishedPorts = publishedPorts
        self.networkPolicy = networkPolicy
        self.images = images
    }
}

/// Error codes of a runtime's failures in answers (`DOCKER::SANDBOX_NOT_FOUND`). Clients branch on them, and the
/// contract has its own set for each kind of runtime.
package struct RuntimeCodes: Hashable, Sendable {
    package var sandboxNotFound: String
    package var imagePullFailed: String
    package var startFailed: String
    package var deleteFailed: String
    package var pauseFailed: String
    package var resumeFailed: String
    package var notRunning: String
    package var notPaused: String
    package var invalidExpiration: String
    package var invalidPort: String

    package init(
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
    package static let docker = RuntimeCodes(
        sandboxNotFound: "DOCKER::SANDBOX_NOT_FOUND", imagePullFailed: "DOCKER::SANDBOX_IMAGE_PULL_FAILED",
        startFailed: "DOCKER::SANDBOX_START_FAILED", deleteFailed: "DOCKER::SANDBOX_DELETE_FAILED",
        pauseFailed: "DOCKER::SANDBOX_PAUSE_FAILED", resumeFailed: "DOCKER::SANDBOX_RESUME_FAILED",
        notRunning: "DOCKER::SANDBOX_NOT_RUNNING", notPaused: "DOCKER::SANDBOX_NOT_PAUSED",
        invalidExpiration: "DOCKER::INVALID_EXPIRATION", invalidPort: "DOCKER::INVALID_PORT")
}
