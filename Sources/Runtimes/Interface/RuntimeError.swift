/// Why a request to the runtime failed. Every description says what to do.
package enum RuntimeError: Error, Hashable, Sendable, CustomStringConvertible {
    // All runtimes.
    case image(reason: String, isCallersFault: Bool)
    case notFound(String)
    case alreadyExists(String)
    case wrongState(id: String, state: String, needed: String)
    /// - isCallersFault: its entrypoint has ended, or could not be started.
    case startFailed(id: String, reason: String, isCallersFault: Bool = false)
    /// The guard refuses the policy; the caller can correct it.
    case policyRefused(String)
    /// The guard could not enforce the policy; nothing was started.
    case unguarded(String)
    /// The guard does not answer; nothing was started.
    case guardAway(String)
    case unsupported(String)
    /// A sandbox cannot be made of a snapshot.
    case unusableSnapshot(id: String, reason: String)
    /// There is no room at the moment.
    case noCapacity(String)
    /// The engine or cluster does not answer, so the sandbox's state is unknown.
    case unavailable(String)
    /// The task was cancelled.
    case cancelled
    case volume(VolumeProblem)
    /// A named volume that cannot be removed, and one of the sandboxes that have it.
    case volumeInUse(String, by: String)
    case system(action: String, reason: String)

    // The local runtime.
    case notRoot
    case missingTool(String, package: String)
    case missingExecd(String)
    case missingKernelFeature(String)
    case imageNotFound(String)
    case noAddressLeft(pool: String)
    case noPortLeft(range: String)
    /// Of the machine's firewall, for published ports.
    case noRulesLeft
    /// The network of an engine that sandboxes are to be on.
    case networkMissing(String)
    case diskNearlyFull(folder: String, free: String, needed: String)
    case unenforcedLimit(String)
    case noIdentifiersLeft(String)
    case noUserNamespaces(String)

    package var description: String {
        switch self {
        case .image(let reason, _), .policyRefused(let reason), .noCapacity(let reason): reason
        case .notFound(let id): "there is no sandbox \(id)"
        case .alreadyExists(let id): "sandbox \(id) exists already"
        case .wrongState(let id, let state, let needed): "sandbox \(id) is \(state); it must be \(needed)"
        case .startFailed(let id, let reason, _): "sandbox \(id) did not start: \(reason)"
        case .unguarded(let reason): "the sandbox could not be guarded, and was not started: \(reason)"
        case .guardAway: "the guard does not answer, and no sandbox is made without it; try again in a moment"
        case .unsupported(let what): "\(what) is not supported by this runtime"
        case .unusableSnapshot(let id, let reason): "snapshot \(id) cannot be restored: \(reason)"
        case .unavailable(let reason): "the runtime does not answer: \(reason)"
        case .cancelled: "it was cancelled"
        case .volume(let problem): "\(problem)"
        case .volumeInUse(let name, let sandbox): "volume \(name) is in use by sandbox \(sandbox): delete that first"
        case .system(let action, let reason): "\(action): \(reason)"
        case .notRoot: "the local runtime needs root: start the server as root, or choose another runtime"
        case .missingTool(let tool, let package): "\(tool) is not installed: apt-get install \(package)"
        case .missingExecd(let path):
            "there is no static execd at \(path): run `make execd`; the package has it at \(Self.packagedExecd)"
        case .missingKernelFeature(let what): "the kernel lacks what the local runtime needs: \(what)"
        case .imageNotFound(let image): "there is no image at \(image)"
        case .noAddressLeft(let pool): "every address of \(pool) is taken: delete sandboxes or enlarge the pool"
        case .noRulesLeft:
            "the published ports of all sandboxes have too many address blocks: delete some, or name fewer blocks"
        case .networkMissing(let name):
            "the engine has no network \(name) (docker.network_mode): make it with docker network create \(name)"
        case .noPortLeft(let range):
            "every port of \(range) is taken: delete sandboxes with published ports, or widen [local.ports]"
        case .diskNearlyFull(let folder, let free, let needed):
            "the disk of the server is nearly full (\(folder) has \(free) left, \(needed) are kept free): delete sandboxes "
                + "or make room"
        case .unenforcedLimit(let key):
            "resourceLimits.\(key) cannot be enforced on this server: it has neither project quotas nor loop devices"
        case .noIdentifiersLeft(let range):
            "every range of user ids among \(range) is taken: delete sandboxes or enlarge local.ids_count"
        case .noUserNamespaces(let reason):
            "sandboxes cannot have user namespaces, which local.user_namespaces requires: \(reason)"
        }
    }

    /// Where scripts/deb.sh puts it.
    package static let packagedExecd = "/usr/lib/sallyport/execd"

    /// Whose fault it is, for choosing the status of an answer.
    package enum Kind: Hashable, Sendable {
        /// The request is at fault.
        case request
        /// No room for another sandbox.
        case capacity
        /// The image cannot be found, or cannot be fetched.
        case image(isCallersFault: Bool)
        case start(isCallersFault: Bool)
        /// A volume cannot be had.
        case volume(code: String, isCallersFault: Bool)
        case snapshot
        case guardAway
        case unsupported
        case other
    }

    package var kind: Kind {
        switch self {
        case .image(_, let isCallersFault): .image(isCallersFault: isCallersFault)
        case .policyRefused, .unenforcedLimit, .networkMissing: .request
        case .noCapacity, .noAddressLeft, .noPortLeft, .noRulesLeft, .noIdentifiersLeft, .diskNearlyFull: .capacity
        case .startFailed(_, _, let isCallersFault): .start(isCallersFault: isCallersFault)
        case .volume(let problem): .volume(code: problem.code.rawValue, isCallersFault: problem.code.isCallersFault)
        case .unusableSnapshot: .snapshot
        case .guardAway: .guardAway
        case .unsupported: .unsupported
        default: .other
        }
    }
}

extension RuntimeError {
    /// What came of work, as a value: an `async let` forgets the type of what is thrown.
    static func outcome<Value: Sendable>(
        _ body: () async throws(RuntimeError) -> Value
    ) async -> Result<Value, RuntimeError> {
        do throws(RuntimeError) { return .success(try await body()) } catch { return .failure(error) }
    }
}
